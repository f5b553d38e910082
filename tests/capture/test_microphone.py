"""A recording as a microphone: its numbers, its time, and what is refused."""

from __future__ import annotations

import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io.wavfile  # type: ignore[import-untyped]

from neon_edge.capture.microphone import open_microphone, read_wav
from neon_edge.clock import FakeClock
from neon_edge.config.robot import WavMicrophone
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.types import Float32

RATE = 16000


def recording(path: Path, seconds: float, rate: int = RATE) -> Float32:
    samples = np.random.default_rng(3).uniform(-0.9, 0.9, int(seconds * rate))
    scipy.io.wavfile.write(path, rate, (samples * 32768).astype(np.int16))
    heard: Float32 = ((samples * 32768).astype(np.int16) / np.float32(32768)).astype(np.float32)
    return heard


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
@pytest.mark.parametrize("channels", [1, 2])
def test_levels_equal_scipys(tmp_path: Path, dtype: type[np.integer[Any]], channels: int) -> None:
    bounds = np.iinfo(dtype)
    draw = np.random.default_rng(1).integers(bounds.min, bounds.max, (500, channels), dtype, True)
    draw[0], draw[1] = bounds.min, bounds.max
    path = tmp_path / "a.wav"
    scipy.io.wavfile.write(path, 8000, draw)
    rate, theirs = scipy.io.wavfile.read(path)
    middle = 128.0 if dtype is np.uint8 else 0.0
    scale = 128.0 if dtype is np.uint8 else -float(bounds.min)
    expected = ((theirs.reshape(500, channels) - middle) / scale).mean(axis=1)
    ours, ours_rate = read_wav(path)
    assert ours_rate == rate == 8000
    assert np.abs(ours - expected).max() <= 1e-6


def test_three_bytes_a_sample(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(3)
        file.setframerate(RATE)
        file.writeframes(b"".join(struct.pack("<i", v)[:3] for v in (0, 1 << 22, -(1 << 23))))
    assert read_wav(path)[0].tolist() == [0.0, 0.5, -1.0]


def test_the_window_that_ends_now(tmp_path: Path) -> None:
    track = recording(tmp_path / "a.wav", 0.5)
    clock = FakeClock()
    config = WavMicrophone("ear", str(tmp_path / "a.wav"))
    start_ns = clock.now_ns()
    with open_microphone(config, RATE, 3200, clock) as microphone:
        assert microphone.newest() is None
        clock.advance_ns(199_000_000)
        assert microphone.newest() is None, "200 ms are not full"
        for elapsed_ms in (200, 450, 600, 1260):
            clock.advance_ns(start_ns + elapsed_ms * 1_000_000 - clock.now_ns())
            window = microphone.newest()
            assert window is not None
            end = elapsed_ms * 16
            assert np.array_equal(
                window.samples, np.take(track, range(end - 3200, end), mode="wrap")
            )
            assert window.captured_ns == start_ns + elapsed_ms * 1_000_000
            assert window.rate_hz == RATE


def test_a_recording_shorter_than_a_window(tmp_path: Path) -> None:
    track = recording(tmp_path / "a.wav", 0.05)
    clock = FakeClock()
    microphone = open_microphone(WavMicrophone("ear", str(tmp_path / "a.wav")), RATE, 3200, clock)
    clock.advance_ns(1_003_000_000)
    window = microphone.newest()
    assert window is not None
    assert np.array_equal(window.samples, np.take(track, range(12848, 16048), mode="wrap"))


def test_another_rate_is_refused(tmp_path: Path) -> None:
    recording(tmp_path / "a.wav", 0.1, rate=44100)
    with pytest.raises(ConfigWrong, match="another rate") as caught:
        open_microphone(WavMicrophone("ear", str(tmp_path / "a.wav")), RATE, 100, FakeClock())
    assert "44100 Hz against 16000 Hz" in caught.value.facts


def test_what_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(DeviceMissing):
        open_microphone(WavMicrophone("ear", str(tmp_path / "no.wav")), RATE, 100, FakeClock())
    recording(tmp_path / "a.wav", 0.1)
    whole = (tmp_path / "a.wav").read_bytes()
    for content in (b"", b"RIFF", b"not a recording at all" * 9, whole[: len(whole) // 2]):
        (tmp_path / "b.wav").write_bytes(content)
        with pytest.raises(ConfigWrong, match="not a recording"):
            read_wav(tmp_path / "b.wav")
