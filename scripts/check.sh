#!/usr/bin/env bash
# Everything a change must pass, quickest first, in the order CI runs it. Needs scripts/setup.sh dev.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

step() {
    echo "── $*" >&2
    "$@"
}

step ruff format --check
step ruff check
step mypy
step lint-imports --no-cache
step pytest --quiet -m "not slow and not gpu and not robot" "$@"
