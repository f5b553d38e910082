"""One joint a few degrees and back: within its limits, not past an e-stop, a fault, a silence."""

from __future__ import annotations

import math
import socket

import msgspec
import numpy as np
import pytest

from neon_edge.clock import FakeClock
from neon_edge.config import RobotConfig, UdpBase
from neon_edge.config.stopping import UdpBeat, UdpStop
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.safety.jog import Jog
from neon_edge.sim.body import Body
from neon_edge.transport import wiggle
from neon_edge.transport.wiggle import Command, Moved, wiggle_joint
from neon_edge.types import Float32, JointCommand
from tests.transport.families import FAMILIES, robot_of
from tests.transport.inline import inline_buses

AMPLITUDE = math.radians(3)


class Bench:
    """A robot's emulated motors on a clock that is moved; `at` says what happens at which tick."""

    def __init__(self, robot: RobotConfig) -> None:
        self.robot, self.clock = robot, FakeClock()
        self.body = Body(robot, self.clock.now_ns(), np.array([0.3, -0.2, 0.1]))
        self.at: dict[int, object] = {}
        self.asked = 0

    def wiggle(self, place: int = 1, amplitude: float = AMPLITUDE) -> Moved:
        with inline_buses(self.body, self.clock):
            return wiggle_joint(self.robot, place, amplitude, self.clock, self._safe)

    def _safe(self, part: RobotConfig, pose: Float32) -> Command:
        jog = Jog(part, pose)

        def command(goal: Float32, now_ns: int) -> JointCommand:
            self.asked += 1
            happens = self.at.get(self.asked)
            if callable(happens):
                happens()
            return jog.command(goal, now_ns)

        return command


@pytest.mark.parametrize("family", FAMILIES)
def test_one_joint_moves_and_the_others_hold(family: str) -> None:
    bench = Bench(robot_of(family))
    before = bench.body.positions()
    moved = bench.wiggle()
    assert (moved.stopped, moved.missing) == ("", 0)
    assert moved.low == pytest.approx(-AMPLITUDE, abs=0.006)
    assert moved.high == pytest.approx(AMPLITUDE, abs=0.006)
    assert np.abs(bench.body.positions() - before).max() < 0.01
    # All is off again; a Unitree motor that is off brakes.
    assert not bench.body.dynamics.gains[0].any()


def test_an_overheated_motor_ends_it() -> None:
    bench = Bench(robot_of("damiao"))
    bench.at[20] = lambda: bench.body.motors[2].overheat(True)
    moved = bench.wiggle()
    assert "'joint_2'" in moved.stopped
    assert "fault" in moved.stopped
    assert bench.asked <= 22
    assert not bench.body.dynamics.gains[0].any()


def test_a_motor_that_falls_silent_ends_it() -> None:
    bench = Bench(robot_of("robstride"))
    mute = bench.body.motors[0]
    bench.at[20] = lambda: setattr(mute, "mute", True)
    # Torque off is acknowledged before the bus is left: it must be heard again by then.
    bench.at[21] = lambda: None
    moved = bench.wiggle()
    assert "'joint_0' has not answered" in moved.stopped
    assert bench.asked < 30


def test_the_e_stop_input_ends_it_and_forbids_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as spare:
        spare.bind(("127.0.0.1", 0))
        port = spare.getsockname()[1]
    robot = msgspec.structs.replace(
        robot_of("damiao"), stop_input=UdpStop(port, timeout_ms=1e6), base=UdpBase("127.0.0.1:9")
    )
    bench = Bench(robot)
    with pytest.raises(DeviceMissing, match="e-stop is pressed"):
        bench.wiggle()
    assert bench.asked == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as button:
        say = lambda word: button.sendto(word, ("127.0.0.1", port))  # noqa: E731
        opened = wiggle.open_stop_input

        def released(config: UdpStop, clock: FakeClock) -> object:
            stop = opened(config, clock)
            say(b"\x01")
            return stop

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(wiggle, "open_stop_input", released)
            bench.at[30] = lambda: say(b"\x00")
            moved = bench.wiggle()
    assert "e-stop was pressed" in moved.stopped
    assert bench.asked <= 31
    assert not bench.body.dynamics.gains[0].any()


def test_the_heartbeat_beats_while_it_moves() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as relay:
        relay.bind(("127.0.0.1", 0))
        relay.settimeout(1)
        beat = UdpBeat("127.0.0.1", relay.getsockname()[1])
        bench = Bench(msgspec.structs.replace(robot_of("damiao"), heartbeat=beat))
        moved = bench.wiggle()
        heard = [relay.recv(8) for _ in range(moved.asked)]
    assert heard == [bytes((k & 0xFF,)) for k in range(151)]


def test_a_joint_without_room_is_not_moved() -> None:
    bench = Bench(robot_of("damiao"))
    with pytest.raises(ConfigWrong, match="no room"):
        bench.wiggle(amplitude=1.9)
    assert bench.asked == 0
