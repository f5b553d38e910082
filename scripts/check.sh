#!/usr/bin/env bash
# Everything a change must pass: lint, types, contracts, tests. scripts/check.sh [--slow]; needs setup.sh dev.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
slow="${1:-}"

step() {
    echo "── $*" >&2
    "$@"
}

step ruff format --check
step ruff check
step mypy
step lint-imports --no-cache

# What only computes gives way to tests that keep time.
computing=(tests/build tests/backbones tests/checkpoint tests/heads)
mark="not gpu and not robot"
printed=$(mktemp -d)
behind=()
trap 'kill "${behind[@]}" 2>/dev/null || true; rm -rf "$printed"' EXIT

computes() { # NAME MARK NICENESS
    OMP_NUM_THREADS=1 timeout 3600 nice -n "$3" pytest --quiet -o cache_dir=".pytest_cache/$1" -m "$2" \
        "${computing[@]}" >"$printed/$1" 2>&1 &
    behind+=($!)
}

computes quick "not slow and $mark" 19
# A quarter more to do than the quick ones, and all wait for whoever ends last.
[ "$slow" != --slow ] || computes slow "slow and $mark" 18

keeps_time() { # A thread that a failed test left behind must not hold up what follows.
    step timeout --foreground 1500 pytest --quiet -o cache_dir=.pytest_cache/keeps_time "$@" \
        "${computing[@]/#/--ignore=}" tests
}

late=0 failed=0
keeps_time -m "not slow and $mark" || late=1
if [ "$slow" = --slow ]; then
    keeps_time -m "slow and $mark" || late=1
fi
echo "── beside them: ${computing[*]}" >&2
for each in "${behind[@]}"; do
    wait "$each" || failed=1
done
cat "$printed"/*
if [ "$late" = 1 ]; then
    echo "── failed beside others: once more, alone" >&2
    keeps_time --last-failed --last-failed-no-failures none || failed=1
fi
exit "$failed"
