"""`neon-edge swap`: another checkpoint's head takes a running one's place, and no tick is missed.

    caller ─▶ supervisor: admits, compares, writes the order ─▶ SIGUSR2 ─▶ control: a thread
    opens and warms the new head, a tick takes it ─▶ the thread says which, and frees the old one

This is the supervisor's side; the control process's is `swap_in.py`.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from neon_edge.clock import Clock
from neon_edge.engine.manifest import Manifest
from neon_edge.errors import NeonEdgeError, UsageWrong
from neon_edge.runtime.arming import NOBODY_LISTENS, Tell
from neon_edge.runtime.events import Event, EventLog
from neon_edge.runtime.headset import HeadPlan, base_driver, head_plan, refuse_swap
from neon_edge.runtime.plans import admit
from neon_edge.runtime.requests import Answer, Asked, Reply
from neon_edge.runtime.spec import RunSpec, replaced, write_spec

LONGEST_RAMP_S = 10.0
GIVE_UP_NS = 9_000_000_000
_SLOW = Reply(
    False,
    wrong="the new head is not open yet",
    facts=f"waited {GIVE_UP_NS // 10**9} s; it takes over as soon as it is",
    fix="neon-edge status says which head runs; no other swap is taken meanwhile",
)
_GONE = Reply(
    False,
    wrong="the control process ended before it took the head",
    fix="the old head runs once a person arms; then swap again",
)


class SwapWish(Struct, frozen=True, forbid_unknown_fields=True):
    """What a caller asks for: which head, by which plans, over how long a ramp."""

    plans: str
    head: str = ""
    ramp_s: float = 1.0


class SwapOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """What the control process is told to do."""

    number: int
    place: int
    """Of the head among those that run."""
    plan: HeadPlan
    ramp_s: float


class SwapNote(Struct, frozen=True, forbid_unknown_fields=True):
    """What came of an order."""

    number: int
    tick: int = 0
    """The last tick of the old head."""
    wrong: str = ""
    facts: str = ""
    fix: str = ""


class Swapping:
    """The supervisor's side."""

    def __init__(
        self,
        spec: RunSpec,
        manifest: Manifest,
        tell: Tell,
        events: EventLog,
        clock: Clock,
    ) -> None:
        self._spec = spec
        self._manifest = manifest
        self._tell = tell
        self._events = events
        self._clock = clock
        self._number = 0
        self._pending: SwapOrder | None = None
        self._replies: dict[int, Reply] = {}
        self._untaken: list[tuple[int, SwapOrder]] = []

    @property
    def answers(self) -> Mapping[str, Asked]:
        """For the run's conversation."""
        return {"swap": self._swap}

    def look(self) -> None:
        """See what came of the order that is under way, whether or not its caller still waits."""
        order = self._pending
        if order is None:
            return
        reply = self._outcome(order)
        if reply is None and not self._tell(0):
            # What it did last it has written before it ended.
            reply = self._outcome(order) or _GONE
        if reply is not None:
            self._replies = {order.number: reply}
            self._pending = None

    def take(self) -> list[tuple[int, SwapOrder]]:
        """Orders given since the last call, and when, for the recording."""
        taken, self._untaken = self._untaken, []
        return taken

    def told(self) -> dict[str, str]:
        """Which heads run, and where base velocities go, for `status`."""
        heads = (f"{plan.name} {plan.heads.checkpoint}" for plan in self._spec.heads)
        base = self._spec.robot.base
        driver = base_driver(self._spec.heads, self._spec.robot)
        goes = "" if base is None else f"{driver or 'nobody'} to {base.channel}"
        return {"heads": ", ".join(heads), **({"base": goes} if goes else {})}

    def _swap(self, text: str) -> Answer:
        try:
            order = self._order(msgspec.json.decode(text, type=SwapWish))
        except msgspec.MsgspecError as failure:
            refused = Reply(False, wrong="not a swap", facts=str(failure))
            return lambda: refused
        except NeonEdgeError as failure:
            refused = Reply(False, wrong=failure.wrong, facts=failure.facts, fix=failure.fix)
            return lambda: refused
        if not self._tell(0):
            return lambda: NOBODY_LISTENS
        write_whole(self._spec.swap_wanted, order)
        self._tell(signal.SIGUSR2)
        self._pending = order
        asked_ns = self._clock.now_ns()
        self._untaken.append((asked_ns, order))

        def answer() -> Reply | None:
            slow = _SLOW if self._clock.now_ns() - asked_ns >= GIVE_UP_NS else None
            return self._replies.get(order.number, slow)

        return answer

    def _order(self, wish: SwapWish) -> SwapOrder:
        if self._pending is not None:
            raise UsageWrong("another swap is under way", "", "wait for its answer")
        if not 0 < wish.ramp_s <= LONGEST_RAMP_S:
            raise UsageWrong(
                "a swap needs a ramp", f"{wish.ramp_s} s", f"between 0 and {LONGEST_RAMP_S:g} s"
            )
        names = [plan.name for plan in self._spec.heads]
        if (wish.head or names[0]) not in names or (not wish.head and len(names) > 1):
            raise UsageWrong(
                f"which head? none is called {wish.head!r}" if wish.head else "which head?",
                f"running: {', '.join(names)}",
                "name one: --head NAME",
            )
        place = names.index(wish.head or names[0])
        old, directory = self._spec.heads[place], Path(wish.plans)
        new = head_plan(old.choice, directory, admit(directory, self._spec.robot))
        refuse_swap(old, new, self._manifest.backbone)
        self._number += 1
        return SwapOrder(self._number, place, new, wish.ramp_s)

    def _outcome(self, order: SwapOrder) -> Reply | None:
        try:
            note = msgspec.json.decode(self._spec.swap_done.read_bytes(), type=SwapNote)
        except FileNotFoundError:
            return None
        if note.number != order.number:
            return None
        if note.wrong:
            return Reply(False, wrong=note.wrong, facts=note.facts, fix=note.fix)
        self._spec = replaced(self._spec, order.place, order.plan)
        try:
            # A control process that is started again begins with what ran.
            write_spec(self._spec)
        except OSError as full:
            self._events.warn("swap", f"a restart would bring the old head back: {full}")
        heads = order.plan.heads
        said = (
            f"head {order.plan.name!r} swapped behind tick {note.tick} for "
            f"{heads.checkpoint} ({heads.checkpoint_sha256[:16]}), ramp {order.ramp_s:g} s"
        )
        self._events.say(Event(self._clock.now_ns(), logging.INFO, "swap", said))
        return Reply(True, {"head": order.plan.name, "tick": note.tick, "ramp_s": order.ramp_s})


def write_whole(path: Path, content: Struct) -> None:
    """Never half a file under this name."""
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(msgspec.json.encode(content))
    partial.replace(path)
