"""The pictures that a moment is made of."""

from __future__ import annotations

from typing import NamedTuple


class Window(NamedTuple):
    """So many of each camera, up to the moment; a camera's stand together, the oldest first."""

    pictures: int = 1
    """Of one camera."""
    apart_s: float = 0.0
    """Between two of them; 0 where it is one alone."""
    cameras: int = 1

    @property
    def back_s(self) -> list[float]:
        """How far each of a camera's lies ahead of the moment."""
        return [self.apart_s * at for at in reversed(range(self.pictures))]


NO_WINDOW = Window()
