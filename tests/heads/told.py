"""A strategy as a head of a run."""

from __future__ import annotations

from typing import Any

from neon_edge.heads.blend import Blended
from neon_edge.heads.several import Head


def told_of(strategy: Any) -> Head:
    """A head called arms that runs `strategy`."""
    inner = strategy.inner if isinstance(strategy, Blended) else strategy
    return Head("arms", inner._network, strategy, inner.driven, False)
