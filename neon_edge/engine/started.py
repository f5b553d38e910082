"""How processes that run plans are started: on a robot, and where a build times candidates."""

from __future__ import annotations

import os

SINGLE_THREADED = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
}
"""NumPy's own threads spin while they wait, on cores that the tick and the engines need."""
HUGE_PAGES = "glibc.malloc.hugetlb=1"
"""Weights are streamed whole every pass; in pages of 2 MiB they cost fewer walks of the table.
glibc 2.35 and later knows this, others ignore it."""


def environment() -> dict[str, str]:
    """What such a process is started with: ours, but for tunables that a person has set."""
    return {"GLIBC_TUNABLES": HUGE_PAGES, **os.environ, **SINGLE_THREADED}
