"""A live source gives its newest frame with the time it came, and says when it is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from neon_edge.capture.camera import open_camera
from neon_edge.capture.clip import decode_frames
from neon_edge.capture.live import LiveReader, open_live
from neon_edge.clock import MonotonicClock
from neon_edge.config.robot import LiveCamera
from neon_edge.errors import ConfigWrong, DeviceMissing

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


def encoded(path: Path, codec: str, frames: int) -> list[tuple[int, int]]:
    """A clip of a moving square at `path`; where each packet lies in the file."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options={"bf": "0"})
        stream.width, stream.height = 160, 96
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(frames):
            image = np.random.default_rng(number).integers(0, 60, (96, 160, 3), np.uint8)
            image[20:60, 4 * number : 4 * number + 40] = 230
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    with av.open(str(path)) as written:
        return [(p.pos, p.size) for p in written.demux(video=0) if p.size]


def spoil(path: Path, start: int, size: int) -> None:
    content = bytearray(path.read_bytes())
    content[start : start + size] = bytes(byte ^ 0x5A for byte in content[start : start + size])
    path.write_bytes(content)


def read_to_the_end(path: Path) -> LiveReader:
    reader = open_live(LiveCamera("front", str(path), ""), CLOCK)
    reader.source.await_end(30)
    return reader


def test_a_packet_that_is_no_picture_costs_one_picture(tmp_path: Path) -> None:
    path = tmp_path / "camera.avi"
    packets = encoded(path, "mjpeg", 6)
    content = bytearray(path.read_bytes())
    start, size = packets[3]
    content[start + 8 : start + size] = bytes(size - 8)
    path.write_bytes(content)
    with read_to_the_end(path) as reader:
        assert reader.source.damaged == 1
        assert reader._latest is not None
        last = reader._latest[0].to_ndarray(format="rgb24")
        # The square of frame 5, behind the packet that was broken.
        assert last[40, 25:55].min() > 150
        assert last[40, :15].max() < 100


def test_a_picture_with_a_lost_part_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "camera.mp4"
    packets = encoded(path, "libx264", 12)
    start, size = packets[4]
    spoil(path, start + size // 3, size // 3)
    with av.open(str(path)) as container:
        corrupt = [frame.is_corrupt for frame in container.decode(video=0)]
    assert any(corrupt)
    with read_to_the_end(path) as reader:
        assert reader.source.damaged == sum(corrupt)
    with pytest.raises(ConfigWrong, match="not a video we can play") as refused:
        list(decode_frames(path))
    assert "is damaged" in refused.value.facts
