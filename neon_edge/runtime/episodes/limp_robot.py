"""A robot without torque as a source of moments: pictures, sound, and where its joints are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack

import msgspec
import numpy as np

from neon_edge.capture.camera import open_camera
from neon_edge.capture.microphone import open_microphone, own_rate
from neon_edge.capture.senses import Sense
from neon_edge.clock import Clock
from neon_edge.config import RobotConfig
from neon_edge.errors import BusFailed, ConfigWrong, DeviceMissing
from neon_edge.runtime.driven import refuse_driven
from neon_edge.runtime.sensing import Moment, Sensing
from neon_edge.safety.limp import limp
from neon_edge.transport import Robot, open_robot
from neon_edge.types import Float32

_NS = 1_000_000_000
ANSWER_NS = 8_000_000
"""Longer than the slowest line's answers take; at high rates half a row's time."""
RETRY_NS = 1_000_000
"""Between looks for answers that are late, until half a row's time is over."""
BEGIN_NS = 10 * _NS
POLL_NS = 5_000_000


class Source:
    """The robot's senses and joints, open, and asked together."""

    def __init__(self, robot: Robot, sensing: Sensing, clock: Clock, fps: int) -> None:
        self._robot = robot
        self._sensing = sensing
        self._clock = clock
        self._most_ns = _NS // fps // 2
        self._wait_ns = min(ANSWER_NS, self._most_ns)
        self._patience = max(5, fps // 2)
        self._joints = len(robot.joint_names)
        self._silent = np.zeros(self._joints, np.int64)
        self._heard = np.zeros(self._joints, np.int64)

    def sample(self) -> tuple[Moment, Float32]:
        """What is seen and heard now, and where the joints are (joints,), rad.

        Raises `DeviceMissing` where a camera is lost, `BusFailed` where a joint stays silent.
        """
        asked_ns = self._clock.now_ns()
        self._robot.write(limp(self._joints, asked_ns))
        moment = self._sensing.look(asked_ns)
        if moment.video is Sense.LOST:
            raise DeviceMissing(
                f"camera number {moment.camera + 1} gives no pictures", "", "check cable and power"
            )
        self._clock.sleep_until_ns(asked_ns + self._wait_ns)
        state = self._robot.read()
        while not (state.received_ns > self._heard).all() and (
            self._clock.now_ns() < asked_ns + self._most_ns
        ):
            self._clock.sleep_until_ns(self._clock.now_ns() + RETRY_NS)
            state = self._robot.read()
        fresh = state.received_ns > self._heard
        self._silent = np.where(fresh, 0, self._silent + 1)
        self._heard[:] = state.received_ns
        if int(self._silent.max()) > self._patience:
            worst = int(self._silent.argmax())
            raise BusFailed(
                f"joint {self._robot.joint_names[worst]!r} no longer answers",
                f"asked {self._silent[worst]} times",
                "check power and cable",
            )
        return moment, state.position

    @property
    def answered(self) -> bool:
        """Whether every joint answered the last question."""
        return not self._silent.any()

    def begin(self) -> Moment:
        """Ask until everything has given its first. Raises `DeviceMissing`."""
        give_up_ns = self._clock.now_ns() + BEGIN_NS
        while self._clock.now_ns() < give_up_ns:
            moment, _ = self.sample()
            if moment.begun and moment.frames and self._heard.all():
                return moment
            self._clock.sleep_until_ns(self._clock.now_ns() + POLL_NS)
        raise DeviceMissing(
            "the robot does not begin",
            f"{BEGIN_NS / _NS:g} s without its first picture, sound or joint state",
            "see what neon-edge doctor says",
        )


@contextlib.contextmanager
def open_source(robot: RobotConfig, clock: Clock, fps: int) -> Iterator[tuple[Source, int]]:
    """Cameras, microphone and motors, these without torque; the sound's rate, Hz, 0 for none.

    Raises `DeviceMissing`, `ConfigWrong`, and `UsageWrong` where a run drives these motors.
    """
    if not robot.cameras:
        raise ConfigWrong("the robot has no camera to record", "", "add [[cameras]] to its file")
    refuse_driven(robot)
    with ExitStack() as opened:
        cameras = [opened.enter_context(open_camera(each, clock)) for each in robot.cameras]
        ear, rate_hz = None, 0
        if robot.microphone is not None:
            rate_hz = own_rate(robot.microphone)
            ear = opened.enter_context(open_microphone(robot.microphone, rate_hz, rate_hz, clock))
        sensing = Sensing(cameras, ear, robot.senses, patience_ns=_NS)
        # The base is asked for nothing and told nothing.
        still = msgspec.structs.replace(robot, base=None)
        motors = opened.enter_context(open_robot(still, clock))
        yield Source(motors, sensing, clock, fps), rate_hz
