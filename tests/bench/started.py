"""A bench in the surroundings that the runtime gives its processes."""

from __future__ import annotations

import os
import sys

from neon_edge.engine.started import environment


def as_on_a_robot() -> None:
    """Run this program again in huge pages, unless a person has set tunables."""
    if "GLIBC_TUNABLES" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], environment())
