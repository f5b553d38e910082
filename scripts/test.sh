#!/usr/bin/env bash
# All set-up and the tests that need neither GPU nor robot, on a machine with Python and pip.
# Slow tests of the build are left out, for they take as long as all others: pytest -m slow tests/build
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh dev
# cyclictest is what the probe of `profile` is held against; without it that one test is skipped.
if ! command -v cyclictest >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "── installing rt-tests, for one test" >&2
    timeout 120 sh -c 'apt-get update -qq; apt-get install -qq -y rt-tests' >/dev/null 2>&1 || true
fi
scripts/check.sh
echo "── slow tests" >&2
.venv/bin/pytest --quiet -m "slow and not gpu and not robot" --ignore tests/build
