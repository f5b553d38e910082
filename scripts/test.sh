#!/usr/bin/env bash
# All set-up and the tests that need neither GPU nor robot, on a machine with Python and pip.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh dev
# cyclictest is what the probe of `profile` is held against; without it that one test is skipped.
if ! command -v cyclictest >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "── installing rt-tests, for one test" >&2
    timeout 120 sh -c 'apt-get update -qq; apt-get install -qq -y rt-tests' >/dev/null 2>&1 || true
fi
exec scripts/check.sh --slow
