"""A recording in parts of about one size: FILE.mcap, FILE.1.mcap, …, each a whole file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from glob import escape
from pathlib import Path

from neon_edge.errors import UsageWrong
from neon_edge.telemetry.recording import PARTIAL, Channel, Message, RecordingFile, unused

PART = "part"
"""Metadata of its own: the number of a part and the name of the first."""


def part_path(path: Path, number: int) -> Path:
    """Where part `number` of the recording at `path` is; 0 is `path` itself."""
    return path if number == 0 else path.with_name(f"{path.stem}.{number}{path.suffix}")


def following(path: Path) -> list[Path]:
    """The parts behind `path`, the one being written included."""
    found: list[Path] = []
    first = path.with_name(path.name.removesuffix(PARTIAL))
    while True:
        whole = part_path(first, len(found) + 1)
        partial = whole.with_name(whole.name + PARTIAL)
        present = [candidate for candidate in (whole, partial) if candidate.exists()]
        if not present:
            return found
        found.append(present[0])


def unused_parts(path: Path) -> Path:
    """As `unused`, where no part of another recording stands in the way of ours either."""
    number, candidate = 0, path
    while unused(candidate) != candidate or _has_parts(candidate):
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def _has_parts(path: Path) -> bool:
    return any(path.parent.glob(f"{escape(path.stem)}.[0-9]*{escape(path.suffix)}*"))


class PartedFile:
    """As `RecordingFile`; `sync` begins another part where one has reached `most_bytes`.

    A part is as much longer as is written between two calls of `sync`. `most_bytes` 0: one file.
    """

    def __init__(
        self,
        path: Path,
        channels: Sequence[Channel],
        metadata: Mapping[str, Mapping[str, str]],
        chunk_bytes: int,
        most_bytes: int,
    ) -> None:
        if most_bytes < 0:
            raise UsageWrong(
                "a part of a recording cannot be smaller than nothing",
                f"{most_bytes} bytes",
                "give --record-max-mb a number above 0, or leave it away for one file",
            )
        self.path = unused_parts(path) if most_bytes else unused(path)
        """Of the first part."""
        self._channels = channels
        self._metadata = metadata
        self._chunk_bytes = chunk_bytes
        self._most_bytes = most_bytes
        self._number = 0
        self._file = self._open()

    def _open(self) -> RecordingFile:
        about = dict(self._metadata)
        if self._most_bytes:
            about[PART] = {"number": str(self._number), "first": self.path.name}
        where = part_path(self.path, self._number)
        return RecordingFile(where, self._channels, about, self._chunk_bytes)

    def add(self, message: Message) -> None:
        """Into the chunk under way of the newest part."""
        self._file.add(message)

    def sync(self) -> None:
        """All that was added is on the disk, in whole chunks, when this returns."""
        self._file.sync()
        if self._most_bytes and self._file.written_bytes >= self._most_bytes:
            self._file.close()
            self._number += 1
            self._file = self._open()

    def close(self) -> None:
        """Close the newest part; the others are closed already."""
        self._file.close()

    def abandon(self) -> None:
        """Let go of a part that cannot be written any more."""
        self._file.abandon()
