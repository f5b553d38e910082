"""The control loop: read, decide, make safe, write. Everything else happens in other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Protocol

from neon_edge.runtime.ticker import Tick, Ticker
from neon_edge.types import Features, JointCommand, JointState, Setpoint

__all__ = ["Stages", "Tick", "Ticker", "control_loop", "stopping_motion"]


class Stages(Protocol):
    """The five callables of a tick, and the row that remembers it."""

    def read(self) -> JointState:
        """Joint state from the replies that are in."""

    def latest(self) -> Features | None:
        """The newest features."""

    def decide(self, features: Features | None, joints: JointState, tick: Tick) -> Setpoint | None:
        """What the heads want."""

    def make_safe(
        self, setpoint: Setpoint | None, joints: JointState, features: Features | None, at_ns: int
    ) -> JointCommand:
        """What may be sent."""

    def write(self, command: JointCommand) -> int:
        """Send it; joint commands sent."""

    def record(self, tick: Tick, joints: JointState, command: JointCommand, sent: int) -> None:
        """Keep this tick's row."""


def control_loop(ticker: Ticker, stages: Stages) -> None:
    """Run until the ticker ends. The caller owns start-up, faults and the stopping motion."""
    _run(ticker.ticks(), stages)


def stopping_motion(
    ticker: Ticker, stages: Stages, periods: int, ended: Callable[[], bool] = lambda: False
) -> None:
    """Go on behind `control_loop` for so many periods; the stages know that it is a stop.

    It is over before that once `ended` says so.
    """
    _run(takewhile(lambda _: not ended(), ticker.linger(periods)), stages)


def _run(ticks: Iterator[Tick], stages: Stages) -> None:
    for tick in ticks:
        joints = stages.read()
        features = stages.latest()
        setpoint = stages.decide(features, joints, tick)
        command = stages.make_safe(setpoint, joints, features, tick.start_ns)
        sent = stages.write(command)
        stages.record(tick, joints, command, sent)
