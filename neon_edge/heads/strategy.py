"""How chunks become setpoints: chosen in the robot file, one small class each."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from neon_edge.config.robot import RobotConfig
from neon_edge.engine.spelling import SpellingEngine
from neon_edge.errors import ConfigWrong
from neon_edge.heads.chunk import ChunkHeads
from neon_edge.heads.ensemble import EnsembleHeads
from neon_edge.heads.fresh import FreshHeads
from neon_edge.heads.guided import GuidedHeads
from neon_edge.heads.network import HeadNetwork
from neon_edge.heads.spelled import SpelledHeads
from neon_edge.types import Features, JointState, Setpoint

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


def open_strategy(robot: RobotConfig, network: HeadNetwork) -> Heads:
    """The strategy that the robot file names. Raises `ConfigWrong` for heads without it."""
    depth = round(HISTORY_S * robot.rate_hz)
    if isinstance(network.engine, SpellingEngine):
        _check_spelled(robot)
        joints, tokens = len(robot.joints), robot.heads.tokens
        return SpelledHeads(network, network.engine, tokens, joints, depth)
    match robot.heads.strategy:
        case "fresh":
            return FreshHeads(network)
        case "chunk":
            return ChunkHeads(network, len(robot.joints), depth)
        case "ensemble":
            return EnsembleHeads(network, robot.heads.decay)
        case "rtc":
            return GuidedHeads(network, robot.heads, len(robot.joints), depth)


def _check_spelled(robot: RobotConfig) -> None:
    if robot.heads.strategy != "chunk":
        raise ConfigWrong(
            "heads that write a chunk token by token can only replay it",
            f"strategy = {robot.heads.strategy!r} wants a chunk within a tick",
            'choose strategy = "chunk" in [heads]',
        )
