"""Which moments of a recording: every task and every amount of motion has its share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

STRATA = 4
"""Kinds of motion within a task, from still to fast, by quantile."""

Places = npt.NDArray[np.int64]


def draw(
    motion: npt.NDArray[np.floating], tasks: Sequence[str], count: int, seed: int
) -> list[int]:
    """`count` of n moments, in order of time.

    `motion` (n,) is any measure that grows with movement. Tasks take turns, and within a task the
    quarters of its motion do, so that no long still stretch crowds out a short fast one: none gets
    a second moment before all have one. Each task begins at another quarter than the one before;
    which tasks and quarters come first, and which moment of a quarter, chance decides. The same
    arguments give the same moments.
    """
    chance = np.random.default_rng(seed)
    names = np.asarray(tasks)
    quarters = chance.permutation(STRATA)
    waiting = [
        _turns(_strata(motion, np.flatnonzero(names == task)), np.roll(quarters, -number), chance)
        for number, task in enumerate(chance.permutation(sorted(set(tasks))))
    ]
    chosen: list[int] = []
    while len(chosen) < min(count, len(motion)):
        turn = [next(turns, None) for turns in waiting]
        chosen += [place for place in turn if place is not None]
    return sorted(chosen[:count])


def _strata(motion: npt.NDArray[np.floating], places: Places) -> list[Places]:
    """`places` from still to fast, in `STRATA` parts; the last are empty where there are few."""
    return np.array_split(places[np.argsort(motion[places], kind="stable")], STRATA)


def _turns(strata: list[Places], order: Places, chance: np.random.Generator) -> Iterator[int]:
    queues = [list(chance.permutation(strata[number])) for number in order]
    while any(queues):
        yield from [int(queue.pop()) for queue in queues if queue]
