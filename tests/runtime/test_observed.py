"""A tick's row holds what the tick decided on, whatever else it takes in before it ends."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from neon_edge.runtime.observed import Kind
from neon_edge.types import Features, Float32, JointCommand, JointState, Setpoint
from tests.runtime.test_sensors import Run


def test_answers_that_come_while_sending_are_the_next_ticks(tmp_path: Path) -> None:
    seen: list[tuple[Float32, int]] = []
    with ExitStack() as opened:
        run = Run(tmp_path, opened)
        run.sender.say(1)
        run.sensors.read()
        decide, write = run.heads.setpoint, run.robot.write
        state: list[JointState] = []

        def noted(features: Features | None, joints: JointState, at_ns: int, tick: int) -> Setpoint:
            state[:] = [joints]
            seen.append((joints.position.copy(), int(joints.received_ns.min())))
            return decide(features, joints, at_ns, tick)

        def late(command: JointCommand) -> int:
            """As a motor that is asked once more, and answers, before it is commanded."""
            sent = write(command)
            state[0].position[3] += 0.01
            state[0].received_ns[:] = run.clock.now_ns() + 7
            return sent

        run.heads.setpoint = noted  # type: ignore[method-assign]
        run.robot.write = late  # type: ignore[method-assign]
        run.stages.arm_or_raise()
        ticks = run.go(10)
        kept = run.observed.newest(run.observed.drain())
    rows = kept[kept["kind"] == Kind.TICK]
    assert len(rows) == len(seen) == 10
    for row, tick, (position, received_ns) in zip(rows, ticks, seen, strict=True):
        np.testing.assert_array_equal(row["position"], position)
        assert row["received_ns"].min() == tick["joints_ns"] == received_ns
