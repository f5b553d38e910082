"""Questions to all motors of one CAN bus at once, waiting for the answers: for bring-up only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from neon_edge.clock import Clock
from neon_edge.config import Joint
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.transport.bus import Bus
from neon_edge.types import BusFrame

Answer = TypeVar("Answer")

REPLY_NS = 100_000_000
TRIES = 3
RELATIVE = 1e-4
"""Numbers that differ by more are different numbers; motors hold float32."""


class CanExchange:
    """A bus and the joints on it. Places are the joints' in that list."""

    def __init__(
        self,
        bus: Bus,
        joints: Sequence[Joint],
        clock: Clock,
        note: Callable[[int, str], None] = lambda place, words: None,
    ) -> None:
        self.bus = bus
        self.joints = joints
        self.clock = clock
        self.note = note
        """Told what the motor at a place says of itself."""

    def ask(
        self,
        frames: Sequence[BusFrame],
        understand: Callable[[int, BusFrame], Answer | None],
        tries: int = TRIES,
    ) -> list[Answer]:
        """Send one frame a joint, and again to those that stay silent; one answer a joint.

        `understand` gives the answer in a frame for the joint at that place, or None. A command is
        sent with `tries` 1. Raises `DeviceMissing` for the first joint that does not answer.
        """
        self.bus.receive_ready()
        answers: dict[int, Answer] = {}
        for _ in range(tries):
            silent = [k for k in range(len(frames)) if k not in answers]
            if not silent:
                break
            self.bus.send([frames[k] for k in silent])
            deadline_ns = self.clock.now_ns() + REPLY_NS
            while len(answers) < len(frames) and self.clock.now_ns() < deadline_ns:
                for frame in self.bus.receive_until(deadline_ns):
                    self._match(frame, understand, answers)
        for place in range(len(frames)):
            if place not in answers:
                raise self.silent(place)
        return [answers[place] for place in range(len(frames))]

    def _match(
        self,
        frame: BusFrame,
        understand: Callable[[int, BusFrame], Answer | None],
        answers: dict[int, Answer],
    ) -> None:
        for place in range(len(self.joints)):
            if place in answers:
                continue
            answer = None
            # What cannot be decoded is nobody's answer.
            with contextlib.suppress(ValueError):
                answer = understand(place, frame)
            if answer is not None:
                answers[place] = answer
                return

    def settle(self, frames: int) -> None:
        """Let the answers to as many frames go by: the echo of a write is no proof."""
        deadline_ns = self.clock.now_ns() + REPLY_NS
        heard = 0
        while heard < frames and self.clock.now_ns() < deadline_ns:
            heard += len(self.bus.receive_until(deadline_ns))

    def compare(self, place: int, what: str, stated: float, found: float) -> None:
        """Raises `ConfigWrong` with both sides where the motor is not as the robot file says."""
        joint = self.joints[place]
        exact = isinstance(stated, int) and isinstance(found, int)
        if not abs(stated - found) <= (0 if exact else RELATIVE * abs(stated)):
            raise ConfigWrong(
                f"joint {joint.name!r}: {what} is not the robot file's",
                f"robot file {stated:g}, motor {joint.motor.id} on bus {self.bus.name!r} "
                f"says {found:g}",
                "correct the robot file, or configure the motor",
            )

    def silent(self, place: int) -> DeviceMissing:
        """The error for a joint that does not answer."""
        joint = self.joints[place]
        return DeviceMissing(
            f"joint {joint.name!r} does not answer",
            f"motor {joint.motor.id} on bus {self.bus.name!r}",
            "check its power, its cable and its id",
        )

    def refuses(self, place: int, reports: str) -> DeviceMissing:
        """The error for a joint whose motor does not do as it is told."""
        joint = self.joints[place]
        return DeviceMissing(
            f"joint {joint.name!r} does not obey",
            f"motor {joint.motor.id} on bus {self.bus.name!r} reports {reports}",
            "remove the cause, then switch the motor's power off and on",
        )
