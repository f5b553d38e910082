"""A person's two words to a running robot: stop, and move again.

`stop` presses the e-stop input, which the control process reads at every tick: damp, latched. `arm`
releases it and asks the control process to enable the motors where they stand and to ramp from
there. Nothing arms by itself.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from neon_edge.clock import Clock
from neon_edge.errors import NeonEdgeError
from neon_edge.runtime.health import press_stop
from neon_edge.runtime.requests import Answer, Asked, Reply
from neon_edge.runtime.spec import RunSpec
from neon_edge.types import Rung

ANSWER_NS = 3_000_000_000


def write_refusal(path: Path, refused: NeonEdgeError | None) -> None:
    """The control process's word on the last arming: between ticks, and only when asked."""
    reply = Reply(True)
    if refused is not None:
        reply = Reply(False, wrong=refused.wrong, facts=refused.facts, fix=refused.fix)
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(msgspec.json.encode(reply))
    partial.replace(path)


class Arming:
    """The supervisor's side: `control` gives the control process's id, `rung` where it stands."""

    def __init__(
        self,
        spec: RunSpec,
        control: Callable[[], int],
        rung: Callable[[], Rung | None],
        clock: Clock,
    ) -> None:
        self._spec = spec
        self._control = control
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
        self._spec.arming.unlink(missing_ok=True)
        press_stop(self._spec.stop_flag, False)
        os.kill(self._control(), signal.SIGUSR1)
        standing = self._until(lambda rung: rung < Rung.DAMP, "the robot has not armed")

        def answer() -> Reply | None:
            try:
                said = msgspec.json.decode(self._spec.arming.read_bytes(), type=Reply)
            except FileNotFoundError:
                return _late(standing)
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
            return Reply(False, wrong=wrong, facts=stands, fix="see the run's own messages")

        return answer


def _late(standing: Answer) -> Reply | None:
    """Before the control process has spoken, only running out of time is an answer."""
    reply = standing()
    return None if reply is not None and reply.done else reply
