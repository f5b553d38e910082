"""A new instruction on its way from the supervisor to the backbone process, and the answer back.

Two small files in the run's directory, each written whole by one side. The backbone takes a new
instruction between two passes; one that it cannot take leaves the old one in use.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from neon_edge.errors import NeonEdgeError

T = TypeVar("T")


class Wanted(Struct, frozen=True):
    """What the supervisor asks for; numbers count up over a run."""

    number: int
    text: str


class InUse(Struct, frozen=True):
    """What the backbone made of it: the instruction in use, and why the wanted one is not."""

    number: int
    text: str
    instruction_id: int
    wrong: str = ""
    facts: str = ""
    fix: str = ""


def _read(path: Path, shape: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except FileNotFoundError:
        return None


def _write(path: Path, content: Struct) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(msgspec.json.encode(content))
    partial.replace(path)


class Instructor:
    """The supervisor's end."""

    def __init__(self, wanted: Path, in_use: Path) -> None:
        self._wanted = wanted
        self._in_use = in_use
        self._number = 0

    def want(self, text: str) -> int:
        """Ask for `text` from the next pass on; gives the number that an answer will have."""
        self._number += 1
        _write(self._wanted, Wanted(self._number, text))
        return self._number

    def in_use(self) -> InUse | None:
        """The backbone's last answer; None before its first pass."""
        return _read(self._in_use, InUse)


class Listener:
    """The backbone's end. `instruct` takes a text and returns its id, or raises."""

    def __init__(self, wanted: Path, in_use: Path, instruct: Callable[[str], int]) -> None:
        self._wanted = wanted
        self._in_use = in_use
        self._instruct = instruct
        self._seen = (0, 0)
        self._now = InUse(0, "", 0)

    def start(self, text: str) -> None:
        """Take `text`, or what was in use before this backbone's predecessor died.

        Raises `ConfigWrong` for a text that cannot be taken.
        """
        before = _read(self._in_use, InUse)
        number, text = (0, text) if before is None else (before.number, before.text)
        self._now = InUse(number, text, self._instruct(text))
        _write(self._in_use, self._now)

    def look(self) -> None:
        """Take a new instruction if there is one. Between passes: a few µs where there is none."""
        try:
            status = self._wanted.stat()
        except FileNotFoundError:
            return
        seen = (status.st_ino, status.st_mtime_ns)
        if seen == self._seen:
            return
        self._seen = seen
        wanted = _read(self._wanted, Wanted)
        if wanted is not None and wanted.number > self._now.number:
            self._now = self._answer(wanted)
            _write(self._in_use, self._now)

    def _answer(self, wanted: Wanted) -> InUse:
        try:
            return InUse(wanted.number, wanted.text, self._instruct(wanted.text))
        except NeonEdgeError as failure:
            now = self._now
            refused = (failure.wrong, failure.facts, failure.fix)
            return InUse(wanted.number, now.text, now.instruction_id, *refused)
