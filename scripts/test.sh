#!/usr/bin/env bash
# All set-up and every test that needs neither GPU nor robot, on a machine with Python and pip.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh dev
scripts/check.sh
echo "── slow tests" >&2
.venv/bin/pytest --quiet -m "slow and not gpu and not robot"
