"""The backbone process: the one that may be ended first."""

from __future__ import annotations

import subprocess
import sys

from neon_edge.runtime.backbone import OOM_SCORE
from tests.conftest import ROOT

ASK = (
    "from neon_edge.runtime import backbone; backbone._go_first(); "
    "print(open('/proc/self/oom_score_adj').read())"
)


def test_where_memory_runs_out_the_kernel_ends_it_and_not_the_control_process() -> None:
    said = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(said.stdout) == OOM_SCORE
    assert OOM_SCORE > 0
