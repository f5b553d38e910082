"""Records a run from the supervisor: rings are drained into a bounded queue, a thread writes it.

A disk that is slow costs rows, counted; a disk that is full costs the recording, with one warning;
neither costs the robot anything.
"""

from __future__ import annotations

import datetime
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from neon_edge import __version__
from neon_edge.clock import Clock
from neon_edge.config import RobotConfig
from neon_edge.engine.manifest import Manifest
from neon_edge.errors import UsageWrong
from neon_edge.runtime import messages
from neon_edge.runtime.board import board
from neon_edge.runtime.events import Event
from neon_edge.runtime.frames import from_frames
from neon_edge.runtime.observed import capacity, pooled_capacity, pooled_fields, robot_fields
from neon_edge.runtime.spec import RunSpec
from neon_edge.telemetry.frames import ROWS as FRAME_ROWS
from neon_edge.telemetry.frames import create_frames
from neon_edge.telemetry.mapped import Rows, create_ring
from neon_edge.telemetry.parts import PartedFile
from neon_edge.telemetry.reader import RingReader
from neon_edge.telemetry.recording import Message

QUEUE_ROWS = 8192
"""Rows that may wait for the disk: 80 s of a 50 Hz robot's ticks and observations."""
QUEUE_BYTES = 128 << 20
"""Of what may wait: with tokens a pass, with large sensors a tick, may be a megabyte."""
SYNC_EVERY_NS = 1_000_000_000
WAIT_S = 0.2
"""For new rows, before the thread looks whether a sync is due."""
CHUNK_BYTES = 4 << 20
"""More than a second's, so that syncs end chunks: the writer keeps an index entry of each."""
RUN = "run"
"""Name of the recording's metadata."""


Swaps = Sequence[tuple[int, msgspec.Struct]]
"""When a swap was asked for, and its order."""


class Batch:
    """Rows taken in one look, waiting to be written."""

    def __init__(
        self,
        ticks: Rows,
        passes: Rows,
        observed: Rows,
        pooled: Rows,
        frames: Rows,
        events: Sequence[Event],
        swaps: Swaps = (),
    ) -> None:
        # Copies: a reader's rows are views that its next drain may move.
        self.ticks, self.passes = ticks.copy(), passes.copy()
        self.observed, self.pooled = observed.copy(), pooled.copy()
        self.frames = frames.copy()
        self.events = list(events)
        self.swaps = list(swaps)

    def __len__(self) -> int:
        rows = (self.ticks, self.passes, self.observed, self.pooled, self.frames)
        return sum(len(part) for part in rows) + len(self.events) + len(self.swaps)

    @property
    def heavy(self) -> int:
        """Bytes of features and observations."""
        return int(self.pooled.nbytes + self.observed.nbytes)

    def messages(self, robot: RobotConfig) -> Iterator[Message]:
        """All of it: features ahead of the ticks that acted on them."""
        yield from messages.from_swaps(self.swaps)
        yield from messages.from_pooled(self.pooled)
        yield from messages.from_observed(self.observed, robot.joint_names)
        yield from messages.from_sensors(self.observed, robot.live_sensors)
        yield from messages.from_ticks(self.ticks)
        yield from messages.from_passes(self.passes)
        yield from from_frames(self.frames, robot.buses)
        yield from messages.from_events(self.events)


class Recorder:
    """Makes the three rings that only a recorded run has, and the file. Raises `UsageWrong`."""

    def __init__(
        self, spec: RunSpec, manifest: Manifest, path: Path, clock: Clock, most_bytes: int = 0
    ) -> None:
        self._robot, joints = spec.robot, spec.robot.joint_names
        self._clock = clock
        observed = robot_fields(spec.robot)
        pooled = pooled_fields(manifest.backbone.pooled_width, manifest.backbone.shown)
        rows, held = capacity(observed), pooled_capacity(pooled)
        create_ring(spec.observed, observed, rows)
        create_ring(spec.pooled, pooled, held)
        create_frames(spec.frames)
        self._frames = RingReader(spec.frames, 2 * FRAME_ROWS)
        self._observed = RingReader(spec.observed, 2 * rows)
        self._pooled = RingReader(spec.pooled, 2 * held)
        self._file = PartedFile(
            path,
            messages.channels(joints, observed, pooled),
            {RUN: about(spec, manifest, clock)},
            CHUNK_BYTES,
            most_bytes,
        )
        self.failure = ""
        """Why nothing is recorded any more."""
        self._dropped = 0
        # Rows given to the thread and rows it has written: each counted by one thread alone.
        self._given = self._given_bytes = 0
        self._written = self._written_bytes = 0
        self._queue: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path:
        """Where the recording will be once it is closed: its first part."""
        return self._file.path

    @property
    def dropped(self) -> int:
        """Rows that the disk was too slow for, or that a ring overwrote first."""
        return self._dropped + self._observed.lost + self._pooled.lost + self._frames.lost

    def look(self, ticks: Rows, passes: Rows, events: Sequence[Event], swaps: Swaps = ()) -> None:
        """Take what is new. Never waits."""
        observed = self._observed.newest(self._observed.drain())
        pooled = self._pooled.newest(self._pooled.drain())
        frames = self._frames.newest(self._frames.drain())
        batch = Batch(ticks, passes, observed, pooled, frames, events, swaps)
        if not len(batch):
            return
        waits = self._given - self._written + len(batch)
        bytes_wait = self._given_bytes - self._written_bytes + batch.heavy
        if waits > QUEUE_ROWS or bytes_wait > QUEUE_BYTES or self.failure:
            self._dropped += len(batch)
            return
        self._given += len(batch)
        self._given_bytes += batch.heavy
        self._queue.put(batch)

    def close(self) -> None:
        """Write what waits and give the file its name."""
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        try:
            self._write_until_closed()
        except OSError as failure:
            self.failure = f"{failure.strerror or failure}"
            self._file.abandon()
        except UsageWrong as failure:  # the next part could not be begun
            self.failure = f"{failure.wrong}: {failure.facts}"
            self._file.abandon()
        except Exception as failure:
            # Our bug, or the library's: it costs the recording, and never the robot.
            self.failure = f"our bug: {failure!r}"
            self._file.abandon()

    def _write_until_closed(self) -> None:
        synced_ns, unsynced = self._clock.now_ns(), False
        ended = False
        while not ended:
            with suppress(queue.Empty):
                batch = self._queue.get(timeout=WAIT_S)
                ended, unsynced = batch is None, unsynced or batch is not None
                self._add(batch)
            # Of a run that has little to say too: its chunk may take minutes to fill.
            now_ns = self._clock.now_ns()
            if unsynced and now_ns - synced_ns >= SYNC_EVERY_NS:
                self._file.sync()
                synced_ns, unsynced = now_ns, False
        self._file.close()

    def _add(self, batch: Batch | None) -> None:
        if batch is not None:
            for message in batch.messages(self._robot):
                self._file.add(message)
            self._written += len(batch)
            self._written_bytes += batch.heavy


def about(spec: RunSpec, manifest: Manifest, clock: Clock) -> dict[str, str]:
    """What replay needs besides rows, and what a person wants to know of the file."""
    return {
        "robot": msgspec.json.encode(spec.robot).decode(),
        "manifest": msgspec.json.encode(manifest).decode(),
        "plans": spec.plans,
        "heads": msgspec.json.encode(spec.heads).decode(),
        "board": board(manifest),
        "neon_edge": __version__,
        "utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds"),
        "monotonic_ns": str(clock.now_ns()),
    }
