"""A live source gives its newest frame with the time it came, and says when it is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neon_edge.capture.camera import open_camera
from neon_edge.capture.live import LiveReader
from neon_edge.clock import MonotonicClock
from neon_edge.config.robot import LiveCamera
from neon_edge.errors import DeviceMissing

CLOCK = MonotonicClock()
PATTERN = LiveCamera("front", "testsrc=size=64x48:rate=50,realtime", "lavfi")


def wait_s(seconds: float) -> None:
    CLOCK.sleep_until_ns(CLOCK.now_ns() + round(seconds * 1e9))


def test_the_newest_frame_moves_on_and_carries_the_time_it_came() -> None:
    before_ns = CLOCK.now_ns()
    with open_camera(PATTERN, CLOCK) as camera:
        first = camera.newest()
        assert first is not None
        assert first.image.shape == (48, 64, 3)
        assert before_ns <= first.captured_ns <= CLOCK.now_ns()
        wait_s(0.2)
        later = camera.newest()
        assert later is not None
        assert later.captured_ns > first.captured_ns
        assert np.ptp(later.image) > 100


def test_asking_again_before_a_new_frame_gives_the_same_one() -> None:
    slow = LiveCamera("front", "testsrc=size=64x48:rate=1,realtime", "lavfi")
    with open_camera(slow, CLOCK) as camera:
        assert camera.newest() is camera.newest()


def test_a_source_that_ends_is_a_missing_device_and_no_old_picture() -> None:
    short = LiveCamera("front", "testsrc=size=64x48:rate=50:duration=0.2,realtime", "lavfi")
    with open_camera(short, CLOCK) as camera:
        wait_s(1.0)
        with pytest.raises(DeviceMissing, match="'front' gives no pictures") as gone:
            camera.newest()
    assert "ended" in gone.value.facts


@pytest.mark.parametrize("source", ["/dev/video-absent", "no such filter"])
def test_what_cannot_be_opened_is_named(source: str) -> None:
    kind = "v4l2" if source.startswith("/dev") else "lavfi"
    with pytest.raises(DeviceMissing, match="'front'") as missing:
        open_camera(LiveCamera("front", source, kind), CLOCK)
    assert source in missing.value.facts


def test_an_unplugged_stream_is_noticed(tmp_path: Path) -> None:
    """A pipe fed by another process, which is killed: what a pulled USB plug looks like."""
    pipe = tmp_path / "camera.ts"
    os.mkfifo(pipe)
    writer = (
        "import av, numpy, sys\n"
        "out = av.open(sys.argv[1], 'w', format='mpegts')\n"
        "stream = out.add_stream('mpeg2video', rate=25, options={'bf': '0'})\n"
        "stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'\n"
        "for k in range(10**9):\n"
        "    image = numpy.full((48, 64, 3), k % 255, numpy.uint8)\n"
        "    for packet in stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')):\n"
        "        out.mux(packet)\n"
    )
    feed = subprocess.Popen([sys.executable, "-c", writer, str(pipe)], stderr=subprocess.DEVNULL)
    try:
        with open_camera(LiveCamera("front", str(pipe), "mpegts"), CLOCK) as camera:
            assert camera.newest() is not None
            feed.kill()
            feed.wait()
            with pytest.raises(DeviceMissing):
                for _ in range(200):
                    camera.newest()
                    wait_s(0.05)
    finally:
        feed.kill()
        feed.wait()


def test_v4l2_stamps_are_believed_and_others_are_not() -> None:
    class Video:
        pts = 0
        time_base = 1

    reader = LiveReader.__new__(LiveReader)
    reader._clock = CLOCK
    now_ns = CLOCK.now_ns()
    Video.pts = now_ns // 1_000_000_000 - 1
    assert reader._captured_ns(Video) == Video.pts * 1_000_000_000
    for foreign in (3, now_ns // 1_000_000_000 + 60):
        Video.pts = foreign if now_ns > 20_000_000_000 else -60
        assert reader._captured_ns(Video) >= now_ns
