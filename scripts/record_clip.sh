#!/usr/bin/env bash
# Record the robot itself, limp and moved by hand, as an episode to calibrate on:
# scripts/record_clip.sh ROBOT.toml OUT [--seconds N] [--instruction TEXT] [--fps N]
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: scripts/record_clip.sh ROBOT OUT [--seconds N] [--instruction TEXT] [--fps N]" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")/.." && pwd)
python=$here/.venv/bin/python
[ -x "$python" ] || python=python3
robot=$1
out=$2
shift 2
# From any directory: ROBOT and OUT mean what they mean there.
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m neon_edge record "$out" --robot "$robot" "$@"
