"""The vision part a picture at a time; a picture it has just encoded is not encoded again.

    window t      a b c d          encoded: a b c d
    window t + 1    b c d e        encoded:       e      b c d are what they were, bit for bit

Exact, because the towers that are cut this way let no picture see another, and every picture
passes the same engine at the same shape whether its neighbours are remembered or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from neon_edge.engine.contract import Array, Engine
from neon_edge.features.preprocess import Preprocessor
from neon_edge.types import CameraFrame, UInt8

_PATCHES = "patches"


@dataclass
class _Picture:
    """What was seen, and what the tower made of it; `made` is empty until it has."""

    image: UInt8
    patches: Array
    made: dict[str, Array] = field(default_factory=dict)


class VisionApart:
    """Pictures of one pass through a vision part of one picture.

    `outputs` are those of all pictures, row behind row: (1, pictures * tokens, width) by name. With
    `remember` off every picture is encoded every time: the same numbers, for measuring.
    """

    def __init__(
        self, engine: Engine, preprocessor: Preprocessor, pictures: int, remember: bool = True
    ) -> None:
        self._engine = engine
        self._preprocessor = preprocessor
        self._pictures = pictures
        self._remember = remember
        self._window: list[_Picture] = []
        self.outputs: dict[str, Array] = {
            name: np.zeros((1, pictures * array.shape[1], *array.shape[2:]), array.dtype)
            for name, array in engine.outputs.items()
        }
        self.encoded = 0
        """Pictures that went through the engine, ever."""

    def see(self, frames: list[CameraFrame]) -> bool:
        """Preprocess the pictures that the last window did not hold; whether it is another now."""
        known = [picture for picture in self._window if picture.made] if self._remember else []
        window: list[_Picture] = []
        for frame in frames:
            same = next((p for p in known + window if np.array_equal(p.image, frame.image)), None)
            window.append(same if same is not None and self._remember else self._new(frame))
        other = list(map(id, window)) != list(map(id, self._window))
        self._window = window
        return other

    def infer(self) -> None:
        """Encode what is new and put every picture in its place in `outputs`."""
        for place, picture in enumerate(self._window):
            if not picture.made or not self._remember:
                self._encode(picture)
            for name, rows in picture.made.items():
                each = rows.shape[1]
                self.outputs[name][:, place * each : (place + 1) * each] = rows
            if not all(np.isfinite(rows).all() for rows in picture.made.values()):
                # What is broken is computed again, never remembered.
                picture.made = {}

    def _new(self, frame: CameraFrame) -> _Picture:
        # Copies: a camera may write its next picture into the same memory.
        patches = np.empty_like(self._engine.inputs[_PATCHES])
        self._preprocessor.fill(frame.image, patches)
        return _Picture(frame.image.copy(), patches)

    def _encode(self, picture: _Picture) -> None:
        np.copyto(self._engine.inputs[_PATCHES], picture.patches)
        self._engine.start()
        self._engine.wait()
        picture.made = {name: array.copy() for name, array in self._engine.outputs.items()}
        self.encoded += 1
