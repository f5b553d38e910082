"""Faults of the world around a robot: a camera that fails in every way, a wall clock that jumps."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from neon_edge.capture.senses import Sense
from neon_edge.config import load_robot
from neon_edge.config.robot import LiveCamera
from neon_edge.telemetry.reader import RingReader
from neon_edge.types import Rung
from tests.bench.fault_bed import Bed, Outcome, recovered, settled
from tests.bench.fault_rows import held_for_features
from tests.cli.live import CLOCK, wait_s

WIDTH, HEIGHT, HZ = 96, 64, 20
PERIOD_NS = 1_000_000_000 // HZ


class Feed:
    """A camera's cable: raw pictures into a pipe that FFmpeg reads, of whatever kind is asked."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self._chance = np.random.default_rng(0)
        self._picture = self._new()
        self.kind = "moving"
        """moving, frozen (the same picture again and again), black, stalled, gone (unplugged)"""
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _new(self) -> bytes:
        return self._chance.integers(0, 255, WIDTH * HEIGHT * 3, np.uint8).tobytes()

    def _run(self) -> None:
        while not self._ended:
            if self.kind == "gone":
                wait_s(0.02)
                continue
            # Opening waits for whoever reads, as a plugged camera waits for a driver.
            with contextlib.suppress(BrokenPipeError), self._path.open("wb", buffering=0) as pipe:
                while not self._ended and self.kind != "gone":
                    self._write(pipe.write)

    def _write(self, write: Callable[[bytes], object]) -> None:
        due_ns = CLOCK.now_ns() + PERIOD_NS
        if self.kind == "moving":
            self._picture = self._new()
        if self.kind != "stalled":
            write(bytes(len(self._picture)) if self.kind == "black" else self._picture)
        CLOCK.sleep_until_ns(due_ns)

    def close(self) -> None:
        """Let go. A write that nobody reads is left to the process's end."""
        self._ended = True


@contextlib.contextmanager
def camera_bed(plans: Path, place: Path) -> Iterator[tuple[Bed, Feed]]:
    """A run whose camera is a `Feed`."""
    place.mkdir(parents=True, exist_ok=True)
    pipe = place / "camera"
    feed = Feed(pipe)
    options = {"video_size": f"{WIDTH}x{HEIGHT}", "pixel_format": "rgb24", "framerate": str(HZ)}
    camera = LiveCamera(name="head", source=str(pipe), format="rawvideo", options=options)
    robot = msgspec.structs.replace(load_robot("sim"), cameras=[camera])
    bed = Bed(plans, place, robot=robot)
    try:
        bed.ready()
        yield bed, feed
    finally:
        bed.close()
        feed.close()


def stalled(bed: Bed, feed: Feed) -> Outcome:
    """No picture comes any more, and no error either."""
    feed.kind = "stalled"
    outcome = held_for_features(bed, "camera stalls")
    feed.kind = "moving"
    return recovered(bed, outcome)


def vanished(bed: Bed, feed: Feed) -> Outcome:
    """Unplugged, and plugged in again."""
    feed.kind = "gone"
    outcome = held_for_features(bed, "camera vanishes")
    wait_s(0.5)
    feed.kind = "moving"
    return recovered(bed, outcome, "when it is plugged in again")


def unlike(bed: Bed, feed: Feed, kind: str, sense: Sense) -> Outcome:
    """Pictures come in time and show nothing: no features are made of them, and people are told."""
    since_ns = bed.mark()
    feed.kind = kind
    outcome = held_for_features(bed, f"camera goes {kind}")
    passes = _passes(bed)
    if not ((passes["captured_ns"] > since_ns) & (passes["video"] == sense)).any():
        outcome.wrong = outcome.wrong or f"nobody is told that the camera is {sense.name.lower()}"
    feed.kind = "moving"
    outcome = recovered(bed, outcome)
    if _passes(bed)[-1]["video"] != Sense.THERE:
        outcome.wrong = outcome.wrong or "still reported after it recovered"
    return outcome


def _passes(bed: Bed) -> np.ndarray:
    reader = RingReader(bed.live.directory / "passes.ring", 1000)
    reader.drain()
    rows = reader.rows().copy()
    reader.close()
    return rows


CAMERA: dict[str, Callable[[Bed, Feed], Outcome]] = {
    "stalled_camera": stalled,
    "frozen_camera": lambda bed, feed: unlike(bed, feed, "frozen", Sense.FROZEN),
    "black_camera": lambda bed, feed: unlike(bed, feed, "black", Sense.DARK),
    "vanished_camera": vanished,
}


def preload(place: Path) -> Path | None:
    """The library that makes the wall clock jump; None where there is no C compiler."""
    place.mkdir(parents=True, exist_ok=True)
    compiler, library = shutil.which("gcc") or shutil.which("cc"), place / "jumping_clock.so"
    if compiler is None:
        return None
    source = Path(__file__).with_name("jumping_clock.c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True
    )
    return library


def wall_clock(plans: Path, place: Path, seconds: float = 5.0) -> Outcome:
    """The whole product in a world whose wall clock jumps by two hours every second."""
    outcome = Outcome("wall clock jumps ±1 h every second", 0, "run", None, None, 0, "", "")
    library = preload(place)
    if library is None:
        outcome.wrong = "no C compiler"
        return outcome
    before = os.environ.get("LD_PRELOAD")
    os.environ["LD_PRELOAD"] = str(library)
    try:
        bed = Bed(plans, place)
    finally:
        os.environ.pop("LD_PRELOAD")
        if before is not None:
            os.environ["LD_PRELOAD"] = before
    try:
        bed.ready()
        if str(library) not in Path(f"/proc/{bed.live.run.pid}/maps").read_text():
            outcome.wrong = "the clock of this run does not jump"
        wait_s(seconds)
        rows = bed.rows()
        if rows["rung"][-1] > Rung.SCALE:
            outcome.wrong = "the robot does not move"
        dues = np.diff(rows["due_ns"]) - 20_000_000 * np.diff(rows["number"])
        if dues.any():
            outcome.wrong = "the grid of ticks has moved"
        outcome.recovery = "nothing to recover: nobody looks at it"
        return settled(bed, outcome)
    finally:
        bed.close()
