"""One episode's pictures and sound on their way to disk: .part until they are whole."""

from __future__ import annotations

import contextlib
import wave
from pathlib import Path
from typing import Any

import numpy as np

from neon_edge.capture.clip import load_av
from neon_edge.errors import ConfigWrong, DeviceMissing, UsageWrong
from neon_edge.types import AudioWindow, Float32, UInt8

_NS = 1_000_000_000
_CODEC = "libx264"
_OPTIONS = {"crf": "18", "preset": "veryfast", "bf": "0"}
"""Nothing visible is lost, and no picture waits for a later one."""
_THREADS = 2


def partial(path: Path) -> Path:
    """What `path` is called until it is whole."""
    return path.with_name(path.name + ".part")


class Film:
    """One camera's H.264 in MP4. Every second picture is whole, so that any is found quickly."""

    def __init__(self, path: Path, size: tuple[int, int], fps: int) -> None:
        """`size` is height and width. Raises `UsageWrong` where nothing can be written."""
        self.path = path
        self._size = size
        self._av = load_av()
        if _CODEC not in self._av.codecs_available:
            raise DeviceMissing(
                "this FFmpeg writes no H.264", f"no {_CODEC} in PyAV's", "pip install av"
            )
        self._count = 0
        height, width = size
        # Half as many colours as pixels need even sides.
        self.pixels = "yuv420p" if height % 2 == width % 2 == 0 else "yuv444p"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._container: Any = self._av.open(str(partial(path)), "w", format="mp4")
            self._stream = self._container.add_stream(_CODEC, rate=fps, options=_OPTIONS)
            stream = self._stream
            stream.height, stream.width, stream.pix_fmt = height, width, self.pixels
            stream.gop_size = 2
            stream.codec_context.thread_count = _THREADS
            stream.codec_context.open()
        except (self._av.FFmpegError, OSError, ValueError) as failure:
            raise unwritten(path, failure) from failure

    def check(self, image: UInt8) -> None:
        """Raises `ConfigWrong` for a picture of another size."""
        if image.shape[:2] != self._size:
            raise ConfigWrong(
                "a camera changed its size while it was recorded",
                f"{self.path.parent.name}: {image.shape[:2]} after {self._size}",
                "give it a fixed video_size in the robot file",
            )

    def add(self, image: UInt8) -> None:
        """The next picture (height, width, 3)."""
        frame = self._av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts = self._count
        self._count += 1
        self._write(frame)

    def close(self) -> None:
        """Finish the file and give it its name."""
        self._write(None)
        self._container.close()
        partial(self.path).replace(self.path)

    def abandon(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(Exception):
            self._container.close()
        partial(self.path).unlink(missing_ok=True)

    def _write(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (self._av.FFmpegError, OSError) as failure:
            raise unwritten(self.path, failure) from failure


class SoundTrack:
    """What a microphone heard since the episode began, put together from overlapping windows."""

    def __init__(self, path: Path, rate_hz: int, begun_ns: int) -> None:
        self.path = path
        self._rate_hz = rate_hz
        self._begun_ns = begun_ns
        self._count = 0
        self.silent = 0
        """Samples that nobody heard: zeros in the file."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = wave.open(str(partial(path)), "wb")  # noqa: SIM115, open until `close`
        except OSError as failure:
            raise unwritten(path, failure) from failure
        self._file.setnchannels(1)
        self._file.setsampwidth(2)
        self._file.setframerate(rate_hz)

    def hear(self, window: AudioWindow | None) -> None:
        """Add what is new in the newest window."""
        if window is None:
            return
        ends = round((window.captured_ns - self._begun_ns) * self._rate_hz / _NS)
        fresh = ends - self._count
        if fresh <= 0:
            return
        self._silence(fresh - len(window.samples))
        self._add(window.samples[-(ends - self._count) :])

    def close(self, duration_ns: int) -> None:
        """End it no earlier than the pictures end, and give it its name."""
        self._silence(duration_ns * self._rate_hz // _NS - self._count)
        self._file.close()
        partial(self.path).replace(self.path)

    def abandon(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(Exception):
            self._file.close()
        partial(self.path).unlink(missing_ok=True)

    def _silence(self, samples: int) -> None:
        if samples > 0:
            self.silent += samples
            self._add(np.zeros(samples, np.float32))

    def _add(self, samples: Float32) -> None:
        levels = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2")
        try:
            self._file.writeframesraw(levels.tobytes())
        except OSError as failure:
            raise unwritten(self.path, failure) from failure
        self._count += len(levels)


def unwritten(path: Path, failure: Exception) -> UsageWrong:
    """A file that cannot be written, in three lines."""
    return UsageWrong("the recording cannot be written", f"{path}: {failure}", "is the disk full?")
