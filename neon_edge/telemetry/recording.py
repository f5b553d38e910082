"""A recording on disk: MCAP, which Foxglove and PlotJuggler open, whole up to the last second.

MCAP keeps messages in chunks with a CRC each. Chunks here end by size, and with every `sync`, which
puts them on the disk: a power cut costs what was added since; a file cut short reads up to its last
whole chunk. Specification: mcap.dev/spec.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from neon_edge.errors import ConfigWrong, UsageWrong

PARTIAL = ".part"


class Channel(NamedTuple):
    """One topic. With a `schema` its messages are JSON, without they are bytes of our own."""

    topic: str
    schema_name: str
    schema: Mapping[str, object] | None
    metadata: Mapping[str, str] = {}


class Message(NamedTuple):
    """One message of a topic; `at_ns` on the monotonic clock of the machine that recorded."""

    topic: str
    at_ns: int
    payload: bytes


def unused(path: Path) -> Path:
    """`path`, or the first of NAME-1, NAME-2, … that no recording has: none is ever overwritten."""
    number, candidate = 0, path
    while os.path.lexists(candidate) or os.path.lexists(_partial(candidate)):
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def _partial(path: Path) -> Path:
    return path.with_name(path.name + PARTIAL)


class RecordingFile:
    """A recording being written as FILE.part; `close` gives it its name.

    Raises `UsageWrong` where it cannot be opened, OSError where it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        channels: Sequence[Channel],
        metadata: Mapping[str, Mapping[str, str]],
        chunk_bytes: int,
    ) -> None:
        try:
            from mcap.writer import Writer
        except ImportError:
            raise UsageWrong(
                "recording needs a package that is not here", "mcap", "pip install 'neon-edge[log]'"
            ) from None
        self.path = path
        self._partial = _partial(path)
        try:
            self._file = self._partial.open("xb")
        except OSError as failure:
            raise UsageWrong(
                "the recording cannot be made", str(failure), "name a place that can be written to"
            ) from None
        self._writer = Writer(self._file, chunk_size=chunk_bytes)
        # The writer ends a chunk by its size; nothing public of it (mcap 1.2 to 1.6) ends one now.
        self._end_chunk: Callable[[], None] = self._writer._Writer__finalize_chunk
        self._writer.start(profile="", library="neon-edge")
        for name, pairs in metadata.items():
            self._writer.add_metadata(name, dict(pairs))
        self._channels = {channel.topic: self._register(channel) for channel in channels}
        self._counts = dict.fromkeys(self._channels, 0)

    def _register(self, channel: Channel) -> int:
        schema = 0
        if channel.schema is not None:
            text = msgspec.json.encode(channel.schema)
            schema = self._writer.register_schema(channel.schema_name, "jsonschema", text)
        encoding = "json" if channel.schema is not None else "neon-edge-row"
        return int(
            self._writer.register_channel(channel.topic, encoding, schema, dict(channel.metadata))
        )

    def add(self, message: Message) -> None:
        """Into the chunk under way."""
        self._counts[message.topic] += 1
        self._writer.add_message(
            self._channels[message.topic],
            log_time=message.at_ns,
            data=message.payload,
            publish_time=message.at_ns,
            sequence=self._counts[message.topic],
        )

    @property
    def written_bytes(self) -> int:
        """Of whole chunks."""
        return self._file.tell()

    def sync(self) -> None:
        """All that was added is on the disk, in whole chunks, when this returns."""
        self._end_chunk()
        self._flush()

    def _flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the last chunk and the index, and take the `.part` off the name."""
        self._writer.finish()
        self._flush()
        self._file.close()
        self._partial.rename(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def abandon(self) -> None:
        """Let go of a file that cannot be written any more; what it holds stays readable."""
        with contextlib.suppress(OSError):
            self._file.close()


class Recorded:
    """A recording being read: `metadata` and `channels` grow while `messages` is consumed.

    `more` are its further parts, read behind it. `cut_short` says afterwards where a damaged file
    ended; empty for whole ones.
    """

    def __init__(self, path: Path, more: Sequence[Path] = ()) -> None:
        self.path = path
        self._paths = (path, *more)
        self.metadata: dict[str, dict[str, str]] = {}
        self.channels: dict[str, dict[str, str]] = {}
        self.cut_short = ""

    def messages(self) -> Iterator[Message]:
        """Every message in the order in which it was written. Raises `ConfigWrong` for no MCAP."""
        for path in self._paths:
            yield from self._messages_of(path)

    def _messages_of(self, path: Path) -> Iterator[Message]:
        try:
            from mcap import records, stream_reader
        except ImportError:
            raise UsageWrong(
                "recordings need a package that is not here", "mcap", "pip install 'neon-edge[log]'"
            ) from None
        topics: dict[int, str] = {}
        try:
            with path.open("rb") as file:
                for record in stream_reader.StreamReader(file, validate_crcs=True).records:
                    if isinstance(record, records.Metadata):
                        self.metadata.setdefault(record.name, record.metadata)
                    elif isinstance(record, records.Channel):
                        topics[record.id] = record.topic
                        self.channels[record.topic] = record.metadata
                    elif isinstance(record, records.Message):
                        yield Message(topics[record.channel_id], record.log_time, record.data)
        except Exception as failure:  # mcap, zstandard and struct each raise their own
            self.cut_short = str(failure) or type(failure).__name__
        if not self.metadata:
            raise ConfigWrong(
                f"{self.path} is not a recording of ours",
                self.cut_short or "it says nothing of a run",
                "name a file of run --record",
            )
