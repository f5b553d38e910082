"""Live sensors in the loop, on a clock that is moved: fed to heads, judged, named, recorded."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.clock import FakeClock
from neon_edge.config import RobotConfig
from neon_edge.config.sensors import UnixSensor
from neon_edge.errors import DeviceMissing
from neon_edge.runtime import outside
from neon_edge.runtime.child import Stop
from neon_edge.runtime.events import LadderEvents
from neon_edge.runtime.health import HealthWatch
from neon_edge.runtime.loop import Ticker, control_loop
from neon_edge.runtime.messages import from_sensors
from neon_edge.runtime.observed import (
    CAPACITY,
    LEAST_CAPACITY,
    Observer,
    capacity,
    observed_fields,
    robot_fields,
)
from neon_edge.runtime.outside import await_sensors, sensor_warnings
from neon_edge.runtime.stages import RobotStages
from neon_edge.safety.filter import SafetyFilter
from neon_edge.safety.watch import Cause
from neon_edge.telemetry.mapped import create_ring, row_dtype
from neon_edge.telemetry.reader import RingReader
from neon_edge.telemetry.ring import TickRing
from neon_edge.transport.protocol.sealed import Head, seal
from neon_edge.transport.protocol.values import MAGIC, encode_values
from neon_edge.transport.sensors import LiveSensors
from neon_edge.types import Features, Float32, JointState, Rung, Setpoint
from tests.runtime.test_broken import Seeing, robot
from tests.transport.inline import inline_robot

STALE_MS = 100
TICK_MS = 20


class Sender:
    """A driver process of a force sensor, on our clock."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sequence = 0
        self.broken = False
        self.said: list[float] = []

    def say(self, value: float) -> None:
        self._sequence += 1
        head = Head(1, self._sequence, self._sequence)
        raw = encode_values(head, [value, 0.5])
        if self.broken:
            raw = seal(MAGIC, head, np.float32([np.nan, 0.5]).tobytes())
        self._socket.sendto(raw, self._path)
        self.said.append(value)

    def close(self) -> None:
        self._socket.close()


class Feeling:
    """Heads that go by what the sensor says, and note it. `before` is called ahead of each tick."""

    def __init__(self, pose: Float32, force: Float32, before: Callable[[int], None]) -> None:
        self._pose, self._force, self._before = pose, force, before
        self.felt: list[float] = []

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int, tick: int
    ) -> Setpoint:
        self.felt.append(float(self._force[0]))
        self._before(tick + 1)
        goal = self._pose + np.float32(0.001) * self._force[0]
        return Setpoint(goal, np.zeros(3, np.float32), at_ns, at_ns)


class Run:
    """A robot with a force sensor, whose sender says what `script` tells it for each tick."""

    def __init__(self, place: Path, opened: ExitStack) -> None:
        self.config = sensing(robot("relax"), place)
        inline = opened.enter_context(inline_robot(self.config))
        self.robot, self.clock = inline.robot, inline.clock
        self.sensors = LiveSensors(self.config.live_sensors, self.clock)
        opened.callback(self.sensors.close)
        self.sender = Sender(str(place / "force.sock"))
        opened.callback(self.sender.close)
        self.script: Callable[[int], None] = self.sender.say
        self.pose = self.robot.measure().copy()
        force = self.sensors.readings.by_name["force"]
        self.heads = Feeling(self.pose, force, self._say)
        TickRing.create(place / "ticks.ring")
        ring = opened.enter_context(TickRing.open_writer(place / "ticks.ring"))
        self.ticks = RingReader(place / "ticks.ring")
        create_ring(place / "observed.ring", robot_fields(self.config), 1024)
        observer = opened.enter_context(
            Observer(place / "observed.ring", self.config, self.sensors.readings)
        )
        self.observed = RingReader(place / "observed.ring")
        safety = SafetyFilter(self.config, np.arange(len(self.config.joints)))
        heard_ns = self.sensors.readings.heard_ns
        self.stages = RobotStages(
            self.robot,
            Seeing(inline),  # type: ignore[arg-type]
            self.heads,  # type: ignore[arg-type]
            safety,
            HealthWatch(self.robot.counters, [], 50, None, heard_ns),
            ring,
            self.clock,
            observer,
            self.sensors,
        )

    def _say(self, tick: int) -> None:
        self.script(tick)

    def go(self, ticks: int) -> np.ndarray:
        """Rows of so many ticks."""
        control_loop(Ticker(50.0, self.clock, ticks), self.stages)
        return self.ticks.newest(self.ticks.drain())


def sensing(config: RobotConfig, place: Path) -> RobotConfig:
    force = UnixSensor(
        name="force", shape=[2], path=str(place / "force.sock"), stale_after_ms=STALE_MS
    )
    return msgspec.structs.replace(config, sensors=[force])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with ExitStack() as opened:
        yield Run(tmp_path, opened)


def test_no_torque_before_every_sensor_has_spoken(run: Run) -> None:
    with pytest.raises(DeviceMissing, match="has not spoken yet") as caught:
        run.stages.arm_or_raise()
    assert caught.value.facts == "never heard: force"
    rows = run.go(5)
    assert set(rows["rung"]) == {Rung.OFF}
    run.sender.say(1)
    run.sensors.read()
    run.stages.arm_or_raise()
    assert set(run.go(3)["rung"]) == {Rung.RUN}


def test_every_tick_feels_the_newest_reading_and_its_row_has_it(run: Run) -> None:
    run.sender.say(1)
    run.sensors.read()
    run.stages.arm_or_raise()
    rows = run.go(40)
    assert set(rows["rung"]) == {Rung.RUN}
    assert run.heads.felt[1:] == run.sender.said[1:40]
    kept = run.observed.newest(run.observed.drain())
    ticked = kept[kept["kind"] == 0]
    assert ticked["sensor_values"][:, 0].tolist() == run.heads.felt
    assert (ticked["sensor_values"][:, 1] == 0.5).all()
    ages_ms = (ticked["at_ns"] - ticked["sensors_ns"][:, 0]) / 1e6
    assert ages_ms.tolist() == [TICK_MS] + [0] * 39  # each is taken by the tick that acts on it
    told = [msgspec.json.decode(m.payload) for m in from_sensors(kept, run.config.live_sensors)]
    assert [each["values"]["force"] for each in told] == [[v, 0.5] for v in run.heads.felt]
    assert [each["age_ms"]["force"] for each in told] == ages_ms.tolist()


@pytest.mark.parametrize("fault", ["silent", "not finite"])
def test_a_sensor_that_falls_silent_or_says_nonsense_holds_and_is_named(
    run: Run, fault: str
) -> None:
    def script(tick: int) -> None:
        run.sender.broken = fault == "not finite" and 30 <= tick < 60
        if fault == "not finite" or not 30 <= tick < 60:
            run.sender.say(tick)

    run.script = script
    run.sender.say(0)
    run.sensors.read()
    run.stages.arm_or_raise()
    rows = run.go(90)
    held = np.flatnonzero(rows["rung"] == Rung.HOLD)
    # The last good reading came in with tick 29, and may be STALE_MS old.
    assert held.tolist() == list(range(29 + STALE_MS // TICK_MS + 1, 60))
    assert set(rows["cause"][held]) == {Cause.SENSOR_SILENT}
    assert set(rows["joint"][held]) == {0}
    assert set(run.heads.felt[30:60]) == {29.0}
    said = LadderEvents(run.config.joint_names, ["force"]).seen_in(rows)
    assert [event.text for event in said] == [
        "hold: sensor silent (force), tick 35",
        "run, tick 60",
    ]
    assert rows["rung"][-1] == Rung.RUN
    warnings = sensor_warnings(run.sensors)
    assert len(warnings) == (fault == "not finite")
    assert all("sensor 'force'" in each and "30 were no sound" in each for each in warnings)


def test_what_queued_up_while_motors_came_up_is_not_taken_for_new(run: Run) -> None:
    run.sender.say(1)
    run.sensors.read()
    enable = run.robot.enable

    def slow() -> Float32:
        for value in range(5):
            run.sender.say(value)
        return enable()

    run.robot.enable = slow  # type: ignore[method-assign]
    run.stages.arm_or_raise()
    assert run.sensors.readings.by_name["force"][0] == 4


def test_a_robot_to_be_armed_waits_for_its_sensors_but_not_for_ever(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_ns = run.clock.now_ns()
    assert await_sensors(run.sensors, run.clock, Stop())
    assert run.clock.now_ns() - begun_ns == pytest.approx(outside.SENSORS_S * 1e9, abs=1e7)
    assert sensor_warnings(run.sensors) == [
        "sensor 'force' was never heard: is its sender on, and is its [[sensors]] where it sends?"
    ]
    stop = Stop()
    stop.request()
    assert not await_sensors(run.sensors, run.clock, stop)
    slept = FakeClock.sleep_until_ns

    def speaking(clock: FakeClock, at_ns: int) -> None:
        slept(clock, at_ns)
        run.sender.say(3)

    monkeypatch.setattr(FakeClock, "sleep_until_ns", speaking)
    begun_ns = run.clock.now_ns()
    assert await_sensors(run.sensors, run.clock, Stop())
    assert run.clock.now_ns() - begun_ns < 10**7
    assert run.sensors.unheard == []


def test_rows_have_sensors_only_where_there_are_live_ones_and_rings_stay_small() -> None:
    plain, sensed = dict(observed_fields(7)), dict(observed_fields(7, [6, 12]))
    assert {**plain, "sensors_ns": "i8*2", "sensor_values": "f4*18"} == sensed
    assert "sensors_ns" not in plain
    assert capacity(observed_fields(29)) == CAPACITY
    heavy = observed_fields(29, [16_000])
    assert LEAST_CAPACITY < capacity(heavy) < CAPACITY
    assert capacity(heavy) * row_dtype(heavy).itemsize <= 16 << 20
    assert capacity(observed_fields(29, [53_000, 53_000])) == LEAST_CAPACITY
