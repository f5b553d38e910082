"""A recorded clip as a camera: it plays at its own rate, over and over, on the robot's clock."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from neon_edge.capture.clip import Clip, ClipFrame, decode, find_clip, survey
from neon_edge.clock import Clock
from neon_edge.config.robot import ClipCamera
from neon_edge.errors import ConfigWrong
from neon_edge.types import CameraFrame


class ClipReplay:
    """Frames appear when a camera would have taken them; those nobody asked for are skipped.

    `captured_ns` is that instant and not the decoder's, so feature age is as it would be live.
    A frame is decoded by the call that first sees it due, in order, and only it becomes RGB.
    """

    def __init__(self, name: str, clip: Clip, clock: Clock) -> None:
        self.clip = clip
        self._name = name
        self._clock = clock
        self._start_ns = clock.now_ns()
        self._turn = 0
        self._frames: Iterator[ClipFrame] = iter(())
        self._ahead: ClipFrame | None = None
        self._shown: CameraFrame | None = None
        self._rewind()
        if self._ahead is None:
            raise ConfigWrong(
                f"{clip.path.name} has no frame that can be decoded",
                f"file {clip.path}, {clip.frames} frames",
                "re-encode it",
            )

    def newest(self) -> CameraFrame | None:
        """The frame that is due now."""
        turn, position_ns = divmod(self._clock.now_ns() - self._start_ns, self.clip.duration_ns)
        if turn != self._turn:
            self._turn = turn
            self._rewind()
        due: ClipFrame | None = None
        while self._ahead is not None and self._ahead.at_ns <= position_ns:
            due, self._ahead = self._ahead, next(self._frames, None)
        if due is not None:
            captured_ns = self._start_ns + turn * self.clip.duration_ns + due.at_ns
            self._shown = CameraFrame(due.rgb(), captured_ns, self._name)
        return self._shown

    def close(self) -> None:
        """Close the file."""
        self._frames, self._ahead = iter(()), None

    def _rewind(self) -> None:
        # Opened anew and not sought: raw streams cannot seek, and once a turn the cost is small.
        self._frames = decode(self.clip)
        self._ahead = next(self._frames, None)

    def __enter__(self) -> ClipReplay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_clip(config: ClipCamera, clock: Clock) -> ClipReplay:
    """Find, survey and start a clip. Raises `DeviceMissing` (not there), `ConfigWrong` (broken)."""
    return ClipReplay(config.name, survey(find_clip(config.path)), clock)
