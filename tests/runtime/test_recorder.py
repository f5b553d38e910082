"""What a recorder has been given is on the disk within a second, however little that is."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.clock import FakeClock
from neon_edge.config import load_robot
from neon_edge.engine.manifest import read_manifest
from neon_edge.runtime.events import Event
from neon_edge.runtime.recorder import SYNC_EVERY_NS, Recorder
from neon_edge.runtime.spec import RunSpec
from neon_edge.telemetry.mapped import Rows, row_dtype
from neon_edge.telemetry.recording import Message, Recorded
from neon_edge.telemetry.ring import PassRing, TickRing
from tests.cli.live import CLOCK, Live, wait_s

NO_TICKS = np.zeros(0, row_dtype(TickRing.FIELDS))
NO_PASSES = np.zeros(0, row_dtype(PassRing.FIELDS))


def on_disk(path: Path) -> list[Message]:
    """Of the file that is still being written: what a power cut would leave."""
    return list(Recorded(path.with_name(path.name + ".part")).messages())


def until(path: Path, topic: str) -> bool:
    """Whether a message of `topic` comes to be on the disk within ten seconds."""
    give_up_ns = CLOCK.now_ns() + 10 * 10**9
    while CLOCK.now_ns() < give_up_ns:
        if any(message.topic == topic for message in on_disk(path)):
            return True
        wait_s(0.02)
    return False


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def recorder(plans: Path, tmp_path: Path, clock: FakeClock) -> Iterator[Recorder]:
    spec = RunSpec(robot=load_robot("sim"), plans=str(plans), directory=str(tmp_path), record=True)
    made = Recorder(spec, read_manifest(plans), tmp_path / "run.mcap", clock)
    yield made
    made.close()


def say(recorder: Recorder, text: str, ticks: Rows = NO_TICKS) -> None:
    recorder.look(ticks, NO_PASSES, [Event(1, logging.WARNING, "died", text)])


def test_an_event_is_on_the_disk_a_second_later_though_nothing_follows_it(
    recorder: Recorder, clock: FakeClock
) -> None:
    """As when the control process has died: no rows fill the chunk that holds the event."""
    say(recorder, "the control process died")
    wait_s(0.5)
    assert on_disk(recorder.path) == []
    clock.advance_ns(SYNC_EVERY_NS)
    assert until(recorder.path, "/event")
    (event,) = on_disk(recorder.path)
    assert msgspec.json.decode(event.payload)["message"] == "the control process died"


def test_a_second_one_is_synced_in_its_turn_and_silence_writes_nothing(
    recorder: Recorder, clock: FakeClock
) -> None:
    for number in (1, 2):
        say(recorder, f"event {number}")
        clock.advance_ns(SYNC_EVERY_NS)
        give_up_ns = CLOCK.now_ns() + 10 * 10**9
        while len(on_disk(recorder.path)) < number and CLOCK.now_ns() < give_up_ns:
            wait_s(0.02)
        assert len(on_disk(recorder.path)) == number
    size = recorder.path.with_name("run.mcap.part").stat().st_size
    clock.advance_ns(10 * SYNC_EVERY_NS)
    wait_s(0.5)
    assert recorder.path.with_name("run.mcap.part").stat().st_size == size


@pytest.mark.slow
def test_a_disk_without_room_ends_the_recording_and_not_the_run(
    plans: Path, tmp_path: Path
) -> None:
    """ENOSPC of a real file system: a tmpfs of 512 KiB."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(small)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        live = Live(plans, "--record", str(small / "run.mcap"), "--seconds", "8")
        live.until_ticking()
        code, _, err = live.end()
        assert code == 0, err
        assert err.count("recording stopped: No space left on device") == 2  # the log, the report
        assert os.statvfs(small).f_bavail == 0
        # What had room stays readable.
        assert len(on_disk(small / "run.mcap")) > 50
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
