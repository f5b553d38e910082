"""The vision part a picture at a time; a picture it has just encoded is not encoded again.

    window t      a b c d          encoded: a b c d
    window t + 1    b c d e        encoded:       e      b c d are what they were, bit for bit

Of a video the part takes a pair of frames at a time. A window that slides by one frame pairs them
anew; what it paired before stays known for as long as both frames are in the window:

    window t      ab cd ef         encoded: ab cd ef
    window t + 1   bc de fg        encoded: bc de fg
    window t + 2     cd ef gh      encoded:       gh

Exact, because the towers that are cut this way let no picture or pair see another, and each passes
the same engine at the same shape whether its neighbours are remembered or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from neon_edge.engine.contract import Array, Engine
from neon_edge.engine.manifest import ImageGeometry
from neon_edge.features.preprocess import Preprocessor
from neon_edge.types import CameraFrame, UInt8

_PATCHES = "patches"
_GLANCE = 16
"""Every so many rows are compared first: different pictures hardly ever agree in them."""


@dataclass(eq=False)
class _Step:
    """A picture or a pair, and what the tower made of it; `made` is empty until it has."""

    images: list[UInt8]
    patches: Array
    made: dict[str, Array] = field(default_factory=dict)


class VisionApart:
    """Pictures of one pass through a vision part of one picture, or of one pair of frames.

    `outputs` are those of all, row behind row: (1, steps * tokens, width) by name. With `remember`
    off everything is encoded every time: the same numbers, for measuring.
    """

    def __init__(
        self,
        engine: Engine,
        preprocessor: Preprocessor,
        image: ImageGeometry,
        remember: bool = True,
    ) -> None:
        self._engine = engine
        self._preprocessor = preprocessor
        self._depth = image.depth
        self._remember = remember
        self._images: list[UInt8] = []
        self._known: list[_Step] = []
        self._window: list[_Step] = []
        self.outputs: dict[str, Array] = {
            name: np.zeros((1, image.steps * array.shape[1], *array.shape[2:]), array.dtype)
            for name, array in engine.outputs.items()
        }
        self.encoded = 0
        """Pictures, or pairs, that went through the engine, ever."""

    def see(self, frames: list[CameraFrame]) -> bool:
        """Preprocess what the last windows did not hold; whether the window is another now."""
        images = self._recognised(frames)
        known = [step for step in self._known if step.made] if self._remember else []
        window: list[_Step] = []
        for first in range(0, len(images), self._depth):
            given = images[first : first + self._depth]
            same = next((step for step in known + window if _same(step.images, given)), None)
            window.append(same if same is not None and self._remember else self._new(given))
        other = list(map(id, window)) != list(map(id, self._window))
        self._images, self._window = images, window
        kept = set(map(id, images))
        self._known = list({id(step): step for step in known + window}.values())
        self._known = [step for step in self._known if kept.issuperset(map(id, step.images))]
        return other

    def infer(self) -> None:
        """Encode what is new and put everything in its place in `outputs`."""
        for place, step in enumerate(self._window):
            if not step.made or not self._remember:
                self._encode(step)
            for name, rows in step.made.items():
                each = rows.shape[1]
                self.outputs[name][:, place * each : (place + 1) * each] = rows
            if not all(np.isfinite(rows).all() for rows in step.made.values()):
                # What is broken is computed again, never remembered.
                step.made = {}

    def _recognised(self, frames: list[CameraFrame]) -> list[UInt8]:
        """Of each frame the array that stands for all pictures of the same levels."""
        images: list[UInt8] = []
        for frame in frames:
            seen = self._images + images
            same = next((image for image in seen if _alike(image, frame.image)), None)
            # Copies: a camera may write its next picture into the same memory.
            images.append(frame.image.copy() if same is None else same)
        return images

    def _new(self, images: list[UInt8]) -> _Step:
        patches = np.empty_like(self._engine.inputs[_PATCHES])
        self._preprocessor.fill_pass(images, patches)
        return _Step(images, patches)

    def _encode(self, step: _Step) -> None:
        np.copyto(self._engine.inputs[_PATCHES], step.patches)
        self._engine.start()
        self._engine.wait()
        step.made = {name: array.copy() for name, array in self._engine.outputs.items()}
        self.encoded += 1


def _same(ours: list[UInt8], given: list[UInt8]) -> bool:
    return all(one is other for one, other in zip(ours, given, strict=True))


def _alike(ours: UInt8, given: UInt8) -> bool:
    glance = np.array_equal(ours[::_GLANCE], given[::_GLANCE])
    return glance and np.array_equal(ours, given)
