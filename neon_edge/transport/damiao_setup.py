"""Finding Damiao motors on a bus and making sure that they are what the robot file says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from neon_edge.clock import Clock
from neon_edge.config import DamiaoMotor, Joint
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.transport.bus import Bus
from neon_edge.transport.protocol import damiao
from neon_edge.transport.protocol.damiao import Feedback, Ranges, Register
from neon_edge.types import BusFrame

Answer = TypeVar("Answer")

REPLY_NS = 100_000_000
TRIES = 3
RELATIVE = 1e-4
"""Ranges that differ by more are different ranges; registers hold float32."""


class Mounted(NamedTuple):
    """A Damiao motor and the joint that it moves."""

    joint: Joint
    motor: DamiaoMotor

    @property
    def ranges(self) -> Ranges:
        """Full scale, as the robot file has it."""
        return Ranges(self.motor.position_max, self.motor.velocity_max, self.motor.torque_max)


class DamiaoSetup:
    """Questions to all motors of one bus at once, waiting for the answers."""

    def __init__(self, bus: Bus, motors: Sequence[Mounted], clock: Clock) -> None:
        self._bus = bus
        self._motors = motors
        self._clock = clock

    def identify(self) -> None:
        """Find every motor under its ids, in its ranges, and put it into MIT mode."""
        found = self._read(Register.MOTOR_ID)
        for mounted, motor_id in zip(self._motors, found, strict=True):
            self._compare(mounted, "motor id", mounted.motor.id, motor_id)
        for register, what, of in (
            (Register.POSITION_MAX, "position range (rad)", 0),
            (Register.VELOCITY_MAX, "velocity range (rad/s)", 1),
            (Register.TORQUE_MAX, "torque range (N·m)", 2),
        ):
            for mounted, value in zip(self._motors, self._read(register), strict=True):
                self._compare(mounted, what, mounted.ranges[of], value)
        self._write(Register.MODE, [damiao.MIT_MODE] * len(self._motors))

    def arm_watchdogs(self) -> None:
        """Set every motor's timeout and read it back."""
        counts = [m.motor.watchdog_ms * damiao.WATCHDOG_PER_MS for m in self._motors]
        self._write(Register.TIMEOUT, counts)

    def feedback(self) -> list[Feedback]:
        """Every motor's state, asked for now without commanding anything."""
        return self.exchange(
            [
                BusFrame(damiao.REGISTER_ID, damiao.refresh(mounted.motor.id))
                for mounted in self._motors
            ]
        )

    def exchange(self, frames: Sequence[BusFrame]) -> list[Feedback]:
        """Send one frame a motor, each answered by feedback. Not repeated: it may be a command."""
        return self._ask(frames, self._as_feedback, tries=1)

    def _as_feedback(self, mounted: Mounted, frame: BusFrame) -> Feedback | None:
        if frame.arbitration_id != mounted.motor.feedback_id or len(frame.payload) != 8:
            return None
        return damiao.decode_feedback(mounted.ranges, frame.payload)

    def _read(self, register: Register) -> list[float]:
        def value(mounted: Mounted, frame: BusFrame) -> float | None:
            answer = damiao.decode_register(frame.payload)
            if answer is None or (answer.motor, answer.register) != (mounted.motor.id, register):
                return None
            self._compare(mounted, "feedback id", mounted.motor.feedback_id, frame.arbitration_id)
            return damiao.unpack_register(register, answer.value)

        return self._ask(
            [
                BusFrame(damiao.REGISTER_ID, damiao.read_register(mounted.motor.id, register))
                for mounted in self._motors
            ],
            value,
        )

    def _write(self, register: Register, values: Sequence[int]) -> None:
        pairs = list(zip(self._motors, values, strict=True))
        self._bus.send(
            [
                BusFrame(damiao.REGISTER_ID, damiao.write_register(m.motor.id, register, value))
                for m, value in pairs
            ]
        )
        # Only what reads back counts; the echo of a write is no proof.
        self._settle()
        for (mounted, wanted), value in zip(pairs, self._read(register), strict=True):
            self._compare(mounted, f"register {register.name.lower()}", wanted, value)

    def _settle(self) -> None:
        deadline_ns = self._clock.now_ns() + REPLY_NS
        heard = 0
        while heard < len(self._motors) and self._clock.now_ns() < deadline_ns:
            heard += len(self._bus.receive_until(deadline_ns))

    def _ask(
        self,
        frames: Sequence[BusFrame],
        understand: Callable[[Mounted, BusFrame], Answer | None],
        tries: int = TRIES,
    ) -> list[Answer]:
        self._bus.receive_ready()
        answers: dict[int, Answer] = {}
        for _ in range(tries):
            silent = [k for k in range(len(frames)) if k not in answers]
            self._bus.send([frames[k] for k in silent])
            deadline_ns = self._clock.now_ns() + REPLY_NS
            while len(answers) < len(frames) and self._clock.now_ns() < deadline_ns:
                for frame in self._bus.receive_until(deadline_ns):
                    self._match(frame, understand, answers)
        for place, mounted in enumerate(self._motors):
            if place not in answers:
                raise _silent(self._bus.name, mounted)
        return [answers[place] for place in range(len(frames))]

    def _match(
        self,
        frame: BusFrame,
        understand: Callable[[Mounted, BusFrame], Answer | None],
        answers: dict[int, Answer],
    ) -> None:
        for place, mounted in enumerate(self._motors):
            if place not in answers:
                answer = understand(mounted, frame)
                if answer is not None:
                    answers[place] = answer
                    return

    def _compare(self, mounted: Mounted, what: str, stated: float, found: float) -> None:
        if abs(stated - found) > RELATIVE * abs(stated):
            raise ConfigWrong(
                f"joint {mounted.joint.name!r}: {what} is not the robot file's",
                f"robot file {stated:g}, motor {mounted.motor.id} on bus {self._bus.name!r} "
                f"says {found:g}",
                "correct the robot file, or configure the motor",
            )


def _silent(bus: str, mounted: Mounted) -> DeviceMissing:
    return DeviceMissing(
        f"joint {mounted.joint.name!r} does not answer",
        f"motor {mounted.motor.id} on bus {bus!r}, feedback expected on "
        f"{mounted.motor.feedback_id:#x}",
        "check its power, its cable and its id",
    )
