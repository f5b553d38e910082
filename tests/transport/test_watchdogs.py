"""A host that dies: motors reach their safe state in time, and reconnecting enables nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.bench.bench_watchdogs import SAFE, kill_and_watch
from tests.transport.drive import TICK_NS, command
from tests.transport.families import WATCHED, robot_of
from tests.transport.inline import Inline, inline_robot

WATCHDOG_MS = 100
SLACK_MS = {"dynamixel": 20}
"""A servo counts its watchdog in steps of its own."""


def alive(inline: Inline) -> bool:
    """Whether any motor still follows, or would follow, a goal."""
    for motor in inline.body.motors:
        if getattr(motor, "tripped", False):
            return False
    return bool(inline.body.gains()[0].any())


@pytest.mark.parametrize("family", WATCHED)
def test_motors_of_a_dead_host_are_safe_in_time_and_stay_so(family: str) -> None:
    config = robot_of(family, watchdog_ms=WATCHDOG_MS)
    with inline_robot(config, (0.2, -0.3, 0.4)) as inline:
        clock, body = inline.clock, inline.body
        pose = inline.robot.enable()
        for tick in range(20):
            inline.robot.read()
            goal = pose + np.float32(0.4 * np.sin(0.1 * tick))
            inline.robot.write(command(config, goal))
            last_ns = clock.now_ns()
            clock.sleep_until_ns(last_ns + TICK_NS)
        assert alive(inline)
        while alive(inline):
            clock.advance_ns(1_000_000)
            body.advance(clock.now_ns())
            assert clock.now_ns() - last_ns < 1_000_000_000
        after_ms = (clock.now_ns() - last_ns) / 1e6
        assert WATCHDOG_MS * 0.9 <= after_ms <= WATCHDOG_MS + 2 + SLACK_MS.get(family, 0)
        assert SAFE[family]
        clock.advance_ns(2_000_000_000)
        body.advance(clock.now_ns())
        rested = body.positions().copy()
        with inline_robot(config, again=inline) as second:
            assert not body.gains()[0].any()
            for _ in range(20):
                second.robot.read()
                assert second.robot.write(command(config, pose + np.float32(0.5))) == 0
                clock.sleep_until_ns(clock.now_ns() + TICK_NS)
            assert not body.gains()[0].any()
            assert np.abs(body.positions() - rested).max() < 0.01
            second.robot.enable()
            for _ in range(40):
                second.robot.read()
                second.robot.write(command(config, pose))
                clock.sleep_until_ns(clock.now_ns() + TICK_NS)
            body.advance(clock.now_ns())
            assert body.positions() == pytest.approx(pose, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("family", WATCHED)
def test_so_it_is_when_the_process_is_killed(family: str, tmp_path: Path) -> None:
    seen = kill_and_watch(family, WATCHDOG_MS, tmp_path)
    assert seen.safe_ms < 5000
    assert seen.stayed
