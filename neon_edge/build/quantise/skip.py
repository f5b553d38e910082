"""Which Linears stay in float: the fewest, from the most harmful down, that pass the gate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from neon_edge.build.quantise.layers import Report

LIMIT = 0.15
"""Of the Linear weights. A network that needs more in float is not quantised, it is patched."""


@dataclass(frozen=True)
class Skip:
    """A skip-list, its share of the Linear weights, and what the gate said with it."""

    names: list[str]
    share: float
    passed: bool
    tried: int


def find_skip(
    reports: Sequence[Report],
    passes: Callable[[list[str]], bool],
    given: Sequence[str] = (),
    limit: float = LIMIT,
) -> Skip:
    """Ask `passes` with ever longer lists, 0, 1, 2, 4, 8 … layers beyond those `given`.

    Layers are ordered by what they lost on the calibration samples. Not passed means that no list
    within `limit` is enough.
    """
    total = sum(report.weights for report in reports)
    size = {report.name: report.weights for report in reports}
    ranked = [report.name for report in sensitivity(reports) if report.name not in given]
    names = list(given)
    tried, step = 0, 1
    while True:
        tried += 1
        share = sum(size[name] for name in names if name in size) / max(total, 1)
        if passes(names):
            return Skip(names, share, True, tried)
        room = limit * total - share * total
        added: list[str] = []
        for name in ranked:
            # One too large for what is left of the limit bars no smaller one behind it.
            if len(added) < step and size[name] <= room:
                room -= size[name]
                added.append(name)
        if not added:
            return Skip(names, share, False, tried)
        names = names + added
        ranked = [name for name in ranked if name not in added]
        step = len(names) - len(given)


def sensitivity(reports: Sequence[Report]) -> list[Report]:
    """From the layer that loses most to the one that loses least; what is not a number is most."""
    return sorted(reports, key=lambda r: math.inf if math.isnan(r.error) else r.error, reverse=True)
