"""How chunks become setpoints: chosen in the robot file, one small class each."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from neon_edge.config.heads import HeadsChoice
from neon_edge.config.robot import RobotConfig
from neon_edge.engine.spelling import SpellingEngine
from neon_edge.errors import ConfigWrong
from neon_edge.heads.blend import Blended
from neon_edge.heads.chunk import ChunkHeads
from neon_edge.heads.ensemble import EnsembleHeads
from neon_edge.heads.fresh import FreshHeads
from neon_edge.heads.guided import GuidedHeads
from neon_edge.heads.network import HeadNetwork
from neon_edge.heads.prefix import PrefixHeads
from neon_edge.heads.spelled import SpelledHeads
from neon_edge.types import Features, JointState, Setpoint

STEPPED = ("rtc", "prefix")
"""Strategies that reach into a flow's steps, so that its engine must be opened guided."""
ONE_ROW = "fresh"
"""The strategy that looks at one row of a chunk, so that the others need not be made."""
SAMPLED_AHEAD = 7
"""A sampled row errs by several ticks' motion; `tests/bench/bench_continuity.py` measures it."""
HISTORY_S = 2.0
"""Older vision than this holds the robot long before."""


class Heads(Protocol):
    """What the loop needs of a strategy."""

    driven: npt.NDArray[np.intp]
    """Indices of the joints that the heads drive."""

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int, tick: int
    ) -> Setpoint | None:
        """What the heads want at tick number `tick`, or None while nothing has been seen."""


def open_strategy(
    robot: RobotConfig, network: HeadNetwork, choice: HeadsChoice | None = None
) -> Heads:
    """The strategy of `choice`, or of the robot's first head, blended where features change.

    Raises `ConfigWrong` for heads without it.
    """
    choice = robot.head_choices[0] if choice is None else choice
    heads = _chosen(robot, network, choice)
    ticks = round(choice.blend_s * robot.rate_hz)
    return Blended(heads, ticks, len(robot.joints)) if ticks > 1 else heads


def _chosen(robot: RobotConfig, network: HeadNetwork, choice: HeadsChoice) -> Heads:
    depth = round(HISTORY_S * robot.rate_hz)
    if isinstance(network.engine, SpellingEngine):
        _check_spelled(choice)
        joints, tokens = len(robot.joints), choice.tokens
        return SpelledHeads(network, network.engine, tokens, joints, depth)
    match choice.strategy:
        case "fresh":
            return FreshHeads(network, _ahead(choice, network))
        case "chunk":
            return ChunkHeads(network, len(robot.joints), depth)
        case "ensemble":
            return EnsembleHeads(network, choice.decay)
        case "rtc":
            return GuidedHeads(network, choice, len(robot.joints), depth)
        case "prefix":
            return PrefixHeads(network, choice, len(robot.joints), depth)


def refuse_backbone(heads: Heads, features: Features, rate_hz: float) -> None:
    """Raise `ConfigWrong` if the backbone is too slow for the strategy, by its first features.

    To be asked before anything moves. Its delay is from picture to publication, in ticks begun,
    and one more: a picture may be taken just ahead of a tick and published just behind one.
    """
    guided = heads.inner if isinstance(heads, Blended) else heads
    if isinstance(guided, GuidedHeads):
        behind_ns = features.published_ns - features.captured_ns
        guided.refuse_delay(math.ceil(behind_ns * rate_hz / 1e9) + 1)


def _ahead(choice: HeadsChoice, network: HeadNetwork) -> int:
    if choice.ahead == "auto":
        return min(SAMPLED_AHEAD, network.steps - 1) if network.samples else 0
    if choice.ahead >= network.steps:
        raise ConfigWrong(
            "these heads do not look so far ahead",
            f"ahead = {choice.ahead}, a chunk has {network.steps} rows",
            f"choose ahead < {network.steps} in [heads]",
        )
    return choice.ahead


def _check_spelled(choice: HeadsChoice) -> None:
    if choice.strategy != "chunk":
        raise ConfigWrong(
            "heads that write a chunk token by token can only replay it",
            f"strategy = {choice.strategy!r} wants a chunk within a tick",
            'choose strategy = "chunk" in [heads]',
        )
