"""What tests do with an open robot: commands, ticks, waiting for the motors' own count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neon_edge.clock import MonotonicClock
from neon_edge.config import RobotConfig
from neon_edge.sim import Simulation
from neon_edge.transport import Robot
from neon_edge.types import Float32, JointCommand, Rung

CLOCK = MonotonicClock()
TICK_NS = 20_000_000


def command(config: RobotConfig, position: Float32, rung: Rung = Rung.RUN) -> JointCommand:
    """Go to `position` (joints,) with the robot file's gains."""
    zero = np.zeros(len(config.joints), np.float32)

    def gains(of: str) -> Float32:
        return np.array([getattr(joint, of) for joint in config.joints], np.float32)

    return JointCommand(
        np.asarray(position, np.float32),
        zero,
        gains("kp") if rung < Rung.DAMP else zero,
        gains("kd"),
        zero,
        np.zeros(3, np.float32),
        rung,
        0,
        0,
    )


def ticks(
    robot: Robot, config: RobotConfig, goals: Sequence[Float32], rung: Rung = Rung.RUN
) -> int:
    """One command a tick, never sooner; leaves the last answers read. Gives joint commands sent."""
    sent = 0
    for goal in goals:
        robot.read()
        sent += robot.write(command(config, goal, rung))
        CLOCK.sleep_until_ns(CLOCK.now_ns() + TICK_NS)
    robot.read()
    return sent


def rest(seconds: float) -> None:
    """Say nothing for so long."""
    CLOCK.sleep_until_ns(CLOCK.now_ns() + int(seconds * 1e9))


def settled(sim: Simulation, expected: int) -> int:
    """Joint commands received, once they are all in or half a second has passed."""
    deadline_ns = CLOCK.now_ns() + 500_000_000
    while sim.received().sum() < expected and CLOCK.now_ns() < deadline_ns:
        CLOCK.sleep_until_ns(CLOCK.now_ns() + TICK_NS)
    return int(sim.received().sum())
