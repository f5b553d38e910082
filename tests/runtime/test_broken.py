"""A bus or our own code fails while a robot runs: what is left of it stops as its file says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.config import RobotConfig
from neon_edge.config.stopping import Park
from neon_edge.errors import BusFailed
from neon_edge.runtime.control import drive
from neon_edge.runtime.health import HealthWatch
from neon_edge.runtime.loop import Ticker
from neon_edge.runtime.stages import RobotStages
from neon_edge.safety.filter import SafetyFilter
from neon_edge.telemetry.ring import TickRing
from neon_edge.types import BusFrame, Features, Float32, JointCommand, JointState, Rung, Setpoint
from tests.transport.drive import command
from tests.transport.inline import Inline, inline_robot
from tests.transport.two_families import only, patient, two_families

BREAKS_AT = 60
STOP_S = 0.5
PARKED = 0.25


def robot(stop: str) -> RobotConfig:
    """Two legs, each on a bus of its own."""
    config = patient(only(two_families(), "left_leg", "right_leg"))
    pose = {joint.name: PARKED for joint in config.joints if "knee" in joint.name}
    return msgspec.structs.replace(
        config,
        base=None,
        stop=stop,
        stop_s=STOP_S,
        park=Park(pose=pose, velocity=1.0, timeout_s=2.0, within_rad=0.02),
    )


class Seeing:
    """A slot whose features are always new."""

    def __init__(self, inline: Inline) -> None:
        self._clock = inline.clock

    def latest(self) -> Features:
        now_ns = self._clock.now_ns()
        return Features(np.zeros(4, np.float32), now_ns, now_ns, 1, 0)


class Nodding:
    """Heads that want a small motion, and do something at one tick."""

    def __init__(self, pose: Float32, at: int, what: Callable[[], None]) -> None:
        self._pose, self._at, self._what = pose, at, what

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int, tick: int
    ) -> Setpoint:
        if tick >= self._at:
            self._what()
        goal = self._pose + np.float32(0.05 * np.sin(0.1 * tick))
        return Setpoint(goal, np.zeros(3, np.float32), at_ns, at_ns)


class Run:
    """What was commanded, tick by tick, and what came of it."""

    def __init__(self, config: RobotConfig, path: Path, what: Callable[[Inline], None]) -> None:
        self.commands: list[tuple[Rung, Float32]] = []
        self.failure: Exception | None = None
        TickRing.create(path)
        with inline_robot(config) as self.inline, TickRing.open_writer(path) as ring:
            robot, clock = self.inline.robot, self.inline.clock
            safety = SafetyFilter(config, np.arange(len(config.joints)))
            heads = Nodding(robot.measure(), BREAKS_AT, lambda: what(self.inline))
            slot, health = Seeing(self.inline), HealthWatch(robot.counters, [], 50)
            stages = RobotStages(
                robot,
                slot,  # type: ignore[arg-type]
                heads,  # type: ignore[arg-type]
                safety,
                health,
                ring,
                clock,
            )
            stages.arm_or_raise()
            write = robot.write
            robot.write = lambda command: self._written(write, command)  # type: ignore[method-assign]
            self.warnings: list[str] = []
            try:
                drive(config, robot, Ticker(50.0, clock, 200), stages, self.warnings)
            except Exception as failure:
                self.failure = failure
            self.positions = self.inline.body.positions()
        # Those that nobody reached have their watchdogs.
        clock.advance_ns(600_000_000)
        self.inline.body.advance(clock.now_ns())
        self.pulling = self.inline.body.gains()[0].any()

    def _written(self, write: Callable[[JointCommand], int], command: JointCommand) -> int:
        self.commands.append((command.rung, command.kp.copy()))
        return write(command)

    def after(self) -> list[tuple[Rung, Float32]]:
        return self.commands[BREAKS_AT + 2 :]


def unplug(inline: Inline) -> None:
    def gone(_: list[BusFrame]) -> int:
        raise BusFailed("bus 'left_leg' failed", "unplugged", "plug it in")

    inline.buses["left_leg"].send = gone  # type: ignore[method-assign,assignment]


def break_driver(inline: Inline) -> None:
    def bug() -> list[BusFrame]:
        raise ZeroDivisionError("our bug, in one bus's driver")

    inline.buses["left_leg"].receive_ready = bug  # type: ignore[method-assign]


def raise_bug(_: Inline) -> None:
    raise RuntimeError("our bug")


@pytest.mark.parametrize(
    ("what", "kind"),
    [(unplug, BusFailed), (raise_bug, RuntimeError), (break_driver, ZeroDivisionError)],
)
@pytest.mark.parametrize("stop", ["relax", "hold", "damp", "park"])
def test_what_is_left_of_a_broken_robot_stops_as_its_file_says(
    stop: str, what: Callable[[Inline], None], kind: type[Exception], tmp_path: Path
) -> None:
    config = robot(stop)
    run = Run(config, tmp_path / "ticks.ring", what)
    assert type(run.failure) is kind
    assert not run.pulling
    assert all(rung is Rung.RUN for rung, _ in run.commands[5:BREAKS_AT])
    after = run.after()
    match stop:
        case "relax":
            assert after == []
        case "hold":
            assert len(after) == pytest.approx(STOP_S * 50, abs=2)
            assert all(rung is Rung.HOLD and kp.all() for rung, kp in after)
        case "damp":
            assert len(after) == pytest.approx(STOP_S * 50, abs=2)
            assert all(rung is Rung.DAMP and not kp.any() for rung, kp in after)
        case "park":
            assert all(rung is Rung.RUN for rung, _ in after)
            knee = config.joint_names.index("right_knee")
            assert run.positions[knee] == pytest.approx(PARKED, abs=0.05)


def test_a_second_bus_that_fails_does_not_end_the_stop(tmp_path: Path) -> None:
    def both(inline: Inline) -> None:
        unplug(inline)
        send, left = inline.buses["right_leg"].send, [10]

        def dying(frames: list[BusFrame]) -> int:
            left[0] -= 1
            if left[0] < 0:
                raise BusFailed("bus 'right_leg' failed")
            return send(frames)

        inline.buses["right_leg"].send = dying  # type: ignore[method-assign,assignment]

    run = Run(robot("hold"), tmp_path / "ticks.ring", both)
    assert isinstance(run.failure, BusFailed) and "left_leg" in run.failure.wrong
    assert len(run.after()) == pytest.approx(STOP_S * 50, abs=2)


def test_a_robot_tells_of_a_lost_bus_once_when_all_others_are_served() -> None:
    with inline_robot(robot("relax")) as inline:
        pose = inline.robot.enable()
        inline.robot.read()
        unplug(inline)
        assert inline.robot.write(command(inline.config, pose)) == 6
        with pytest.raises(BusFailed, match="left_leg"):
            inline.robot.read()
        for _ in range(3):
            inline.clock.advance_ns(20_000_000)
            inline.robot.read()
            assert inline.robot.write(command(inline.config, pose)) == 6
        received = inline.robot.read().received_ns
        left = [joint.bus == "left_leg" for joint in inline.config.joints]
        assert received[left].max() < received[np.invert(left)].min()
        inline.robot.ending = True
        received = inline.robot.read().received_ns
        assert (received[left] == inline.clock.now_ns()).all()
