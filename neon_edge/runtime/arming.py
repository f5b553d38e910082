"""A person's two words to a running robot: stop, and move again.

`stop` presses the e-stop input, which the control process reads at every tick: damp, latched. `arm`
releases it and asks the control process to enable the motors where they stand and to ramp from
there. Nothing arms by itself.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from neon_edge.clock import Clock
from neon_edge.errors import NeonEdgeError
from neon_edge.runtime.health import is_pressed, press_stop
from neon_edge.runtime.requests import Answer, Asked, Reply
from neon_edge.runtime.spec import RunSpec
from neon_edge.types import Rung

ANSWER_NS = 3_000_000_000
Tell = Callable[[int], bool]
"""Sends the control process a signal, 0 for none; False where it is dead or does not listen yet."""
NOBODY_LISTENS = Reply(
    False,
    wrong="the control process does not listen",
    facts="it is coming up, or has died; nothing was changed",
    fix="ask again once neon-edge status says running",
)


def write_refusal(path: Path, refused: NeonEdgeError | None) -> None:
    """The control process's word on the last arming: between ticks, and only when asked.

    One that cannot be kept (a full tmpfs) is lost, and the robot moves or stays all the same.
    """
    reply = Reply(True)
    if refused is not None:
        reply = Reply(False, wrong=refused.wrong, facts=refused.facts, fix=refused.fix)
    partial = path.with_name(path.name + ".part")
    with contextlib.suppress(OSError):
        partial.write_bytes(msgspec.json.encode(reply))
        partial.replace(path)


class Arming:
    """The supervisor's side: `tell` reaches the control process, `rung` says where it stands."""

    def __init__(
        self,
        spec: RunSpec,
        tell: Tell,
        rung: Callable[[], Rung | None],
        clock: Clock,
    ) -> None:
        self._spec = spec
        self._tell = tell
        self._rung = rung
        self._clock = clock

    @property
    def answers(self) -> Mapping[str, Asked]:
        """For the run's conversation."""
        return {"stop": self._stop, "arm": self._arm}

    def _stop(self, _: str) -> Answer:
        press_stop(self._spec.stop_flag, True)
        return self._until(lambda rung: rung >= Rung.DAMP, "the robot has not damped")

    def _arm(self, _: str) -> Answer:
        if not self._tell(0):
            return lambda: NOBODY_LISTENS
        flag = self._spec.stop_flag
        self._spec.arming.unlink(missing_ok=True)
        pressed = is_pressed(flag)
        # Released first, for the control process looks at it as soon as it hears.
        press_stop(flag, False)
        if not self._tell(signal.SIGUSR1):
            press_stop(flag, pressed)
            return lambda: NOBODY_LISTENS
        standing = self._until(lambda rung: rung < Rung.DAMP, "the robot has not armed")
        give_up_ns = self._clock.now_ns() + ANSWER_NS

        def answer() -> Reply | None:
            try:
                said = msgspec.json.decode(self._spec.arming.read_bytes(), type=Reply)
            except FileNotFoundError:
                return self._late(standing, give_up_ns)
            return standing() if said.done else said

        return answer

    def _until(self, reached: Callable[[Rung], bool], wrong: str) -> Answer:
        give_up_ns = self._clock.now_ns() + ANSWER_NS

        def answer() -> Reply | None:
            rung = self._rung()
            if rung is not None and reached(rung):
                return Reply(True, {"rung": rung.name.lower()})
            if self._clock.now_ns() < give_up_ns:
                return None
            stands = "no tick yet" if rung is None else f"it stands on {rung.name.lower()}"
            if not self._tell(0):
                stands = (
                    "its control process is dead, its motors left to their watchdogs, or comes up; "
                    "what was pressed stays pressed"
                )
            return Reply(False, wrong=wrong, facts=stands, fix="see the run's own messages")

        return answer

    def _late(self, standing: Answer, give_up_ns: int) -> Reply | None:
        """Before the control process has spoken, only running out of time is an answer."""
        reply = standing()
        spoken_for = self._clock.now_ns() >= give_up_ns
        return None if reply is not None and reply.done and not spoken_for else reply
