"""The control process's side of a swap: opens the new head in a thread, takes it between ticks.

A thread beside the tick costs it what the interpreter's lock is held for. Opening and running a
session do not hold it (ONNX Runtime releases it), so what is left is Python's own, given back
within the switch interval; README.md says what was measured.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import NamedTuple

import msgspec

from neon_edge.clock import Clock
from neon_edge.errors import NeonEdgeError
from neon_edge.heads.several import Head, SeveralHeads
from neon_edge.runtime.headset import open_head
from neon_edge.runtime.realtime import below_the_tick
from neon_edge.runtime.spec import RunSpec
from neon_edge.runtime.swapping import SwapNote, SwapOrder, write_whole

POLL_NS = 5_000_000
_LOG = logging.getLogger("control")


class _Ready(NamedTuple):
    order: SwapOrder
    head: Head


class SwapIn:
    """The control process's side. `asked` is for a signal, `look` for the end of every tick.

    `start` before real time is entered, so that the thread does not inherit the tick's priority,
    and `close` before the process ends: a thread inside a session must not be torn out of it.
    """

    def __init__(self, spec: RunSpec, heads: SeveralHeads, clock: Clock) -> None:
        self._spec = spec
        self._heads = heads
        self._clock = clock
        self._bell, self._ring = os.pipe()
        self._ready: _Ready | None = None
        self._old: Head | None = None
        self.replaced: list[Head] = []
        """Heads that ran and were swapped out; their engines are closed."""
        self._tick = 0
        self._ended = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Let a thread wait for orders."""
        self._thread = threading.Thread(target=self._serve, name="swap")
        self._thread.start()

    def asked(self) -> None:
        """There is an order to read."""
        if not self._ended:
            os.write(self._ring, b"s")

    def close(self) -> None:
        """Take no more orders, and wait for the thread: for a load under way, seconds at most."""
        self._ended = True
        os.close(self._ring)
        if self._thread is not None:
            self._thread.join()
        os.close(self._bell)

    def look(self, tick: int) -> int:
        """Take a head that is ready, behind tick number `tick`; gives the order's number or 0."""
        ready = self._ready
        if ready is None:
            return 0
        self._tick = tick
        self._old = self._heads.replace(ready.order.place, ready.head, ready.order.ramp_s)
        self._ready = None
        return ready.order.number

    def _serve(self) -> None:
        while os.read(self._bell, 64):
            order = self._wanted()
            if order is None:
                continue
            with below_the_tick():
                note = self._obey(order)
            try:
                write_whole(self._spec.swap_done, note)
            except OSError:
                _LOG.exception("what came of a swap could not be told")

    def _wanted(self) -> SwapOrder | None:
        """The order, once. None for a signal that nobody meant."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            raw = self._spec.swap_wanted.read_bytes()
            self._spec.swap_wanted.unlink()
            return msgspec.json.decode(raw, type=SwapOrder)
        return None

    def _is_untaken(self) -> bool:
        return self._ready is not None

    def _obey(self, order: SwapOrder) -> SwapNote:
        try:
            head = open_head(order.plan, self._spec.robot)
        except NeonEdgeError as failure:
            return SwapNote(order.number, 0, failure.wrong, failure.facts, failure.fix)
        except Exception as failure:
            _LOG.exception("a head did not open; this is our bug, please report it")
            return SwapNote(order.number, 0, "the new head did not open", repr(failure))
        self._ready = _Ready(order, head)
        while self._is_untaken() and not self._ended:
            self._clock.sleep_until_ns(self._clock.now_ns() + POLL_NS)
        if self._is_untaken():
            head.network.engine.close()
            return SwapNote(order.number, 0, "the run ended before the new head was taken")
        if self._old is not None:
            self._old.network.engine.close()
            self.replaced.append(self._old)
            self._old = None
        return SwapNote(order.number, self._tick)
