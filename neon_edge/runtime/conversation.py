"""The supervisor's answers to who asks: how the robot does, and new instructions for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from neon_edge.clock import Clock
from neon_edge.engine.manifest import BackboneManifest, Manifest
from neon_edge.features.slot import SlotReader
from neon_edge.runtime.events import Event, EventLog
from neon_edge.runtime.instructions import Instructor
from neon_edge.runtime.requests import Answer, Asked, Reply, Requests, socket_path
from neon_edge.runtime.spec import RunSpec

UNREAD = "no instruction reaches this backbone's features"
READ = "build a recipe whose [config.fusion.budget] keeps text, with heads trained on it"


def unread(backbone: BackboneManifest) -> str:
    """Why words change nothing."""
    return f"recipe {backbone.recipe!r} cuts all of its text away"


class Conversation:
    """Opens the run's socket. `others` answers what is not `say` or `status`, `more` adds to it."""

    def __init__(
        self,
        spec: RunSpec,
        manifest: Manifest,
        events: EventLog,
        clock: Clock,
        others: Mapping[str, Asked],
        more: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._robot = spec.robot.name
        self._backbone = manifest.backbone
        self._events = events
        self._more = more
        self._clock = clock
        self._instructor = Instructor(spec.instruction_wanted, spec.instruction_in_use)
        self._slot = SlotReader(spec.slot, int(manifest.backbone.model_hash, 16))
        self._state, self._ticks, self._status = "", 0, ""
        known: dict[str, Asked] = {"say": self._say, "status": self._tell, **others}
        self._requests = Requests(socket_path(spec.path), known, clock)

    def look(self, state: str, ticks: int, status: str) -> None:
        """Answer who is waiting: with the control process's state, ticks so far, the live line."""
        self._state, self._ticks, self._status = state, ticks, status
        self._requests.look()

    def _say(self, text: str) -> Answer:
        if not self._backbone.reads:
            return lambda: Reply(False, wrong=UNREAD, facts=unread(self._backbone), fix=READ)
        number = self._instructor.want(text)

        def answer() -> Reply | None:
            in_use = self._instructor.in_use()
            if in_use is None or in_use.number < number:
                return None
            if in_use.number > number:
                return Reply(False, wrong="another instruction came at the same time")
            if in_use.wrong:
                return Reply(False, wrong=in_use.wrong, facts=in_use.facts, fix=in_use.fix)
            said = f"instruction {in_use.instruction_id:x}: {in_use.text}"
            self._events.say(Event(self._clock.now_ns(), logging.INFO, "instruction", said))
            told = {"instruction": in_use.text, "instruction_id": f"{in_use.instruction_id:x}"}
            return Reply(True, {**told})

        return answer

    def _tell(self, _: str) -> Answer:
        in_use, features = self._instructor.in_use(), self._slot.latest()
        told: dict[str, str | int | float | None] = {
            "robot": self._robot,
            "state": self._state,
            "status": self._status,
            "ticks": self._ticks,
            "instruction": in_use.text if in_use else None,
            "instruction_id": f"{in_use.instruction_id:x}" if in_use else None,
            "features_instruction_id": f"{features.instruction_id:x}" if features else None,
            **self._more(),
        }
        return lambda: Reply(True, told)

    def close(self) -> None:
        """Nobody answers from here on."""
        self._requests.close()
        self._slot.close()
