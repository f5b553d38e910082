"""Which moments of a recording: every task and every amount of motion has its share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

STRATA = 4
"""Kinds of motion within a task, from still to fast, by quantile."""
_ORDER = (2, 1, 3, 0)


def draw(
    motion: npt.NDArray[np.floating], tasks: Sequence[str], count: int, seed: int
) -> list[int]:
    """`count` of n moments, in order of time.

    `motion` (n,) is any measure that grows with movement. Strata (task, quarter of its motion) take
    turns, so that a long still stretch does not crowd out a short fast one; within a stratum chance
    decides. The same arguments give the same moments.
    """
    chance = np.random.default_rng(seed)
    queues = [list(chance.permutation(places)) for places in _strata(motion, tasks)]
    chosen: list[int] = []
    while len(chosen) < min(count, len(motion)):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(int(queue.pop()))
    return sorted(chosen)


def _strata(motion: npt.NDArray[np.floating], tasks: Sequence[str]) -> list[npt.NDArray[np.int64]]:
    """The middle quarters first and every task in each, so that a short draw leaves none out."""
    names = np.asarray(tasks)
    quarters: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(STRATA)]
    for task in sorted(set(tasks)):
        places = np.flatnonzero(names == task)
        ranked = places[np.argsort(motion[places], kind="stable")]
        for quarter, part in zip(quarters, np.array_split(ranked, STRATA), strict=True):
            quarter.append(part)
    return [part for at in _ORDER for part in quarters[at] if len(part)]
