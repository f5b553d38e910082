"""A rolling window of whole pictures for each camera, for backbones that take several pictures.

    pictures ─ every 1 / hz ─▶ | t-3 | t-2 | t-1 | newest |      the newest is always the newest

What slides keeps its pixels, so that a vision part that remembers pictures encodes one a pass.
"""

from __future__ import annotations

from dataclasses import replace

from neon_edge.types import CameraFrame

_NS = 1_000_000_000


class PictureWindow:
    """`depth` pictures a camera, oldest first, `1 / hz` s apart but for the newest.

    Until so many have come, the first stands for those before it; behind a gap as long as the
    window a new one begins, for no motion is seen across it.
    """

    def __init__(self, cameras: int, depth: int, hz: float) -> None:
        self._rolls = [_Roll(depth, round(_NS / hz)) for _ in range(cameras)]

    def see(self, frames: list[CameraFrame]) -> list[CameraFrame]:
        """The newest of every camera -> all pictures of a pass, camera by camera."""
        rolls = zip(self._rolls, frames, strict=True)
        return [picture for roll, frame in rolls for picture in roll.see(frame)]


class _Roll:
    """One camera's window."""

    def __init__(self, depth: int, apart_ns: int) -> None:
        self._depth = depth
        self._apart_ns = apart_ns
        self._kept: list[CameraFrame] = []
        self._due_ns = 0

    def see(self, frame: CameraFrame) -> list[CameraFrame]:
        at_ns = frame.captured_ns
        last_ns = self._kept[-1].captured_ns if self._kept else at_ns
        if not 0 <= at_ns - last_ns <= self._depth * self._apart_ns:
            self._kept.clear()
        # An eighth of a period early still counts: cameras do not tick on our grid.
        if not self._kept or at_ns >= self._due_ns - self._apart_ns // 8:
            self._keep(frame)
        before = self._kept[:-1] if self._kept[-1].captured_ns == at_ns else self._kept
        window = [*before[len(before) - min(len(before), self._depth - 1) :], frame]
        return [window[0]] * (self._depth - len(window)) + window

    def _keep(self, frame: CameraFrame) -> None:
        at_ns = frame.captured_ns
        # On the grid and not a period from now, or every picture that is early would pull it in.
        on_grid = bool(self._kept) and at_ns < self._due_ns + self._apart_ns
        self._due_ns = (self._due_ns if on_grid else at_ns) + self._apart_ns
        # A copy: a camera may write its next picture into the same memory.
        self._kept.append(replace(frame, image=frame.image.copy()))
        del self._kept[: -self._depth]
