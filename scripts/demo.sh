#!/usr/bin/env bash
# The main job with neither GPU nor robot: makes a demo checkpoint, builds the tiny recipe's two
# engines from it, replays a real clip through them, and drives the simulated robot for 10 s.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh demo
export PATH="$PWD/.venv/bin:$PATH"

checkpoint=engines/built/demo_checkpoint
python scripts/make_checkpoint.py "$checkpoint" --seed 1 --mode whole_body --pooled 128 \
    --backbone-id neon-edge/qwen-omni-tiny
neon-edge build engines/qwen_omni_tiny --checkpoint "$checkpoint"
echo
exec neon-edge profile --robot sim --seconds "${1:-10}"
