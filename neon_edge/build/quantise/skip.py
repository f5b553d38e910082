"""Which Linears stay in float: few, from the most harmful a weight down, until the gate passes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from neon_edge.build.quantise.layers import Report

LIMIT = 0.15
"""Of the Linear weights. A network that needs more in float is not quantised, it is patched."""


@dataclass(frozen=True)
class Group:
    """Linears behind one input: they share how it is rounded, and are given back together."""

    names: tuple[str, ...]
    weights: int
    error: float
    """The largest that any of them has by itself, on its own products."""
    effect: float | None = None
    """What the pooled features lose when this group alone is quantised: mean 1 - cosine."""


Measure = Callable[[list[Group]], list[Group]]
"""Groups, the most suspect first → the same, with the effect of as many as can be afforded."""


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
    measure: Measure = lambda groups: groups,
) -> Skip:
    """Ask `passes` with ever longer lists, 0, 1, 2, 4, 8 … groups beyond the layers `given`.

    Only where the first is not enough, `measure` says what groups do to the features; see `ranked`
    for their order. Not passed means that no list within `limit` is enough.
    """
    total = max(sum(report.weights for report in reports), 1)
    spent = sum(report.weights for report in reports if report.name in given)
    names = list(given)
    if passes(names):
        return Skip(names, spent / total, True, 1)
    room = limit * total - spent
    left = [report for report in reports if report.name not in given]
    waiting = [group for group in groups_of(left, room) if group.weights <= room]
    if waiting:
        waiting = ranked(measure(ranked(waiting)))
    tried, step = 1, 1
    while added := _fitting(waiting, limit * total - spent, step):
        spent += sum(group.weights for group in added)
        names = names + [name for group in added for name in group.names]
        waiting = [group for group in waiting if group not in added]
        step, tried = 1 if tried == 1 else 2 * step, tried + 1
        if passes(names):
            return Skip(names, spent / total, True, tried)
    return Skip(names, spent / total, False, tried)


def groups_of(reports: Iterable[Report], most: float) -> list[Group]:
    """Siblings together, unless they have more than `most` weights: then each by itself."""
    together: dict[tuple[str, str], list[Report]] = {}
    for report in reports:
        part = report.name[: report.name.find("/") + 1]
        together.setdefault((part, report.source or report.name), []).append(report)
    groups = []
    for found in together.values():
        whole = sum(report.weights for report in found) <= most
        groups += [_group(found)] if whole else [_group([report]) for report in found]
    return groups


def _group(reports: Sequence[Report]) -> Group:
    names = tuple(report.name for report in reports)
    # A comparison with what is not a number is false, and it is the worst of all errors.
    worst = max(math.inf if math.isnan(report.error) else report.error for report in reports)
    return Group(names, sum(report.weights for report in reports), worst)


def ranked(groups: Iterable[Group]) -> list[Group]:
    """Groups of known effect by its share of each weight, then the others by their own error."""

    def harm(group: Group) -> tuple[bool, float]:
        if group.effect is None:
            return False, group.error
        return True, math.inf if math.isnan(group.effect) else group.effect / group.weights

    return sorted(groups, key=harm, reverse=True)


def _fitting(groups: Sequence[Group], room: float, count: int) -> list[Group]:
    """The first `count` that fit together; one too large bars no smaller one behind it."""
    found: list[Group] = []
    for group in groups:
        if len(found) < count and group.weights <= room:
            room -= group.weights
            found.append(group)
    return found
