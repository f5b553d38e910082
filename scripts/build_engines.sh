#!/usr/bin/env bash
# Build a recipe's plans on this machine: scripts/build_engines.sh qwen_omni_3b --checkpoint DIR [...]
# On a Jetson the TensorRT of JetPack compiles; elsewhere onnxruntime does.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
[ -x "$python" ] || python=python3
engine=onnxruntime
if [ -f /etc/nv_tegra_release ]; then engine=tensorrt; fi
if [ $# -lt 1 ]; then
    echo "usage: scripts/build_engines.sh RECIPE --checkpoint DIR [--weights DIR|random:SEED] [...]" >&2
    exit 2
fi
recipe=$1
shift
[ -d "engines/$recipe" ] && recipe="engines/$recipe"
exec "$python" -m neon_edge build "$recipe" --engine "$engine" "$@"
