"""Which rows of a recording are calibrated on, and which are set aside to judge plans by.

    several episodes of a task   some whole episodes, drawn by the seed, are set aside
    a single one                 |── first 65 % ──|  gap  |── last 25 %: set aside ──|

What is set aside is split once more the same way: layers go back to float by one half (`tune`),
and what the manifest reports is measured on the other (`judge`), which decided nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from neon_edge.build.calibrate.draw import draw

ASIDE = 0.25
"""Share of a recording that is set aside."""
GAP = 0.1
"""Share of a lone episode between both sides: neighbouring pictures are nearly one picture."""


class Counts(NamedTuple):
    """Moments wanted to calibrate on, and set aside."""

    learn: int
    aside: int = 0


class Pools(NamedTuple):
    """Rows, in order of time, that share no episode or no stretch of one."""

    learn: list[int]
    tune: list[int]
    judge: list[int]


def split(episodes: Sequence[int], tasks: Sequence[str], seed: int) -> Pools:
    """All of n rows, which stand in order of time within their episode, but those in gaps."""
    number = np.asarray(episodes, np.int64)
    learn, aside = _halves(number, tasks, np.arange(len(number)), ASIDE, seed)
    tune, judge = _halves(number, tasks, aside, 0.5, seed)
    return Pools(*(rows.tolist() for rows in (learn, tune, judge)))


def drawn(
    motion: npt.NDArray[np.floating],
    episodes: Sequence[int],
    tasks: Sequence[str],
    counts: Counts,
    seed: int,
) -> Pools:
    """Of each pool as many rows as `counts` asks for, see `draw`; those aside are half and half."""
    pools = split(episodes, tasks, seed)
    half = (counts.aside + 1) // 2
    wanted = (counts.learn, counts.aside - half, half)
    return Pools(*(
        [pool[k] for k in draw(motion[pool], [tasks[row] for row in pool], count, seed)]
        for pool, count in zip(pools, wanted, strict=True)
    ))  # fmt: skip


_Rows = npt.NDArray[np.int64]


def _halves(
    episodes: _Rows, tasks: Sequence[str], rows: _Rows, share: float, seed: int
) -> tuple[_Rows, _Rows]:
    """`rows` without those set aside and without gaps, and those set aside."""
    chance = np.random.default_rng(seed)
    kept, aside = [rows[:0]], [rows[:0]]
    for several in _by_task(episodes, tasks, rows).values():
        if len(several) == 1:
            alone = several[0]
            begin = len(alone) - round(share * len(alone))
            kept.append(alone[: max(0, begin - round(GAP * len(alone)))])
            aside.append(alone[begin:])
            continue
        count = min(max(1, round(share * len(several))), len(several) - 1)
        chosen = set(chance.permutation(len(several))[:count].tolist())
        for index, episode in enumerate(several):
            (aside if index in chosen else kept).append(episode)
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(aside))


def _by_task(episodes: _Rows, tasks: Sequence[str], rows: _Rows) -> dict[str, list[_Rows]]:
    """Rows of every episode, by the task that the episode begins with."""
    found: dict[str, list[_Rows]] = {}
    for episode in np.unique(episodes[rows]):
        of_it = rows[episodes[rows] == episode]
        found.setdefault(tasks[int(of_it[0])], []).append(of_it)
    return dict(sorted(found.items()))
