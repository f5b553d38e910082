"""A recorded video as a file: found, surveyed, and decoded a frame at a time."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.types import UInt8

_PACKAGE = "package:"


class Clip(NamedTuple):
    """What a survey of the file found: enough to play it on time and over and over."""

    path: Path
    frames: int
    first_ns: int
    """Presentation time of the first frame, on the file's own time line."""
    duration_ns: int
    """From the first frame to the end of the last."""


class ClipFrame(NamedTuple):
    """One decoded frame, `at_ns` after the clip's first, not yet turned into RGB."""

    at_ns: int
    video: Any

    def rgb(self) -> UInt8:
        """(height, width, 3), a new array."""
        image: UInt8 = np.ascontiguousarray(self.video.to_ndarray(format="rgb24"))
        return image


def load_av() -> Any:
    """PyAV. Raises `DeviceMissing` with what to install."""
    try:
        import av
    except ImportError as failure:
        raise DeviceMissing(
            "PyAV, which reads recorded clips, is not installed",
            str(failure),
            "pip install 'neon-edge[clip]'",
        ) from failure
    return av


def find_clip(path: str) -> Path:
    """The file that a robot file's `path` means. Raises `DeviceMissing`.

    package:NAME/FILE is found without importing the package: some take seconds, or fail.
    """
    if not path.startswith(_PACKAGE):
        return _existing(Path(path), "correct the path in the robot file")
    package, _, inside = path.removeprefix(_PACKAGE).partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise DeviceMissing(
            f"the package that carries the clip is not installed: {package!r}",
            f"path {path}",
            "pip install 'neon-edge[demo]', or name a file of your own",
        )
    return _existing(Path(spec.submodule_search_locations[0]) / inside, "check the package version")


def _existing(path: Path, fix: str) -> Path:
    if not path.is_file():
        raise DeviceMissing("the recorded clip is not there", f"file {path}", fix)
    return path


def survey(path: Path) -> Clip:
    """Read every packet without decoding: counts and times. Raises `ConfigWrong` if damaged."""
    av = load_av()
    stamps: list[tuple[int, int]] = []
    damaged = 0
    try:
        with av.open(str(path)) as container:
            stream = _video_stream(container, path)
            declared = stream.frames
            tick_ns = float(stream.time_base * 1_000_000_000)
            for packet in container.demux(stream):
                if packet.pts is not None:
                    stamps.append((packet.pts, packet.duration or 0))
                    damaged += packet.is_corrupt
    except av.FFmpegError as failure:
        raise _broken(path, str(failure)) from failure
    if not stamps or damaged or len(stamps) < declared:
        raise _broken(
            path, f"{len(stamps)} frames of {declared or 'some'} are there, {damaged} of them cut"
        )
    first, (last, last_duration) = min(stamps)[0], max(stamps)
    # A file that does not say how long its last frame stays gives it the mean of the others.
    shown = last_duration or (last - first) / max(1, len(stamps) - 1)
    duration_ns = round((last - first + shown) * tick_ns)
    if duration_ns <= 0:
        raise _broken(path, f"{len(stamps)} frames in no time at all")
    return Clip(path, len(stamps), round(first * tick_ns), duration_ns)


def decode(clip: Clip) -> Iterator[ClipFrame]:
    """Frames in the order they are shown, one in memory at a time. Raises `ConfigWrong`."""
    av = load_av()
    try:
        with av.open(str(clip.path)) as container:
            stream = _video_stream(container, clip.path)
            # One thread: the cores belong to the backbone and the control loop.
            stream.codec_context.thread_count = 1
            tick_ns = float(stream.time_base * 1_000_000_000)
            for number, video in enumerate(container.decode(stream)):
                if video.is_corrupt:
                    raise _broken(clip.path, f"frame {number} is damaged")
                if video.pts is not None:
                    yield ClipFrame(round(video.pts * tick_ns) - clip.first_ns, video)
    except av.FFmpegError as failure:
        raise _broken(clip.path, str(failure)) from failure


def decode_frames(path: Path) -> Iterator[UInt8]:
    """Every frame of a file as (height, width, 3) RGB, in order, one in memory at a time."""
    return (frame.rgb() for frame in decode(survey(path)))


def _video_stream(container: Any, path: Path) -> Any:
    if not container.streams.video:
        raise ConfigWrong(f"{path.name} holds no video", f"file {path}", "name a video file")
    return container.streams.video[0]


def _broken(path: Path, facts: str) -> ConfigWrong:
    return ConfigWrong(
        f"{path.name} is not a video we can play",
        f"{path}: {facts}",
        "copy it again, or re-encode it (ffmpeg -i FILE -c:v libx264 NEW.mp4)",
    )
