"""What LeRobot wants to know of an episode's columns: extremes, mean and deviation.

Layout: huggingface/lerobot v0.3.3 `src/lerobot/datasets/compute_stats.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_EVERY = 8


class Summary:
    """Of rows (n, columns), given piece by piece."""

    def __init__(self, columns: int) -> None:
        self.count = 0
        self._rows = 0
        self._least = np.full(columns, np.inf)
        self._most = np.full(columns, -np.inf)
        self._sum = np.zeros(columns)
        self._squares = np.zeros(columns)

    def add(self, rows: npt.NDArray[Any], count: int) -> None:
        """`count` is what these rows count as: a picture's pixels are one."""
        wide = rows.astype(np.float64)
        self.count += count
        self._rows += len(wide)
        np.minimum(self._least, wide.min(axis=0), out=self._least)
        np.maximum(self._most, wide.max(axis=0), out=self._most)
        self._sum += wide.sum(axis=0)
        self._squares += (wide**2).sum(axis=0)

    def see(self, image: npt.NDArray[np.uint8]) -> None:
        """A picture (height, width, 3), by every eighth pixel, its levels in [0, 1]."""
        self.add(image[::_EVERY, ::_EVERY].reshape(-1, 3) / 255.0, 1)

    def told(self, image: bool = False) -> dict[str, Any]:
        """As `episodes_stats.jsonl` spells it; a picture's are (3, 1, 1)."""
        mean = self._sum / self._rows
        spread = np.sqrt(np.maximum(self._squares / self._rows - mean**2, 0.0))
        values = {"min": self._least, "max": self._most, "mean": mean, "std": spread}
        shape = (-1, 1, 1) if image else (-1,)
        return {name: value.reshape(shape).tolist() for name, value in values.items()} | {
            "count": [self.count]
        }


def column_stats(column: npt.NDArray[Any]) -> dict[str, Any]:
    """Of a whole column (n,) or (n, columns)."""
    rows = column.reshape(len(column), -1)
    summary = Summary(rows.shape[1])
    summary.add(rows, len(rows))
    return summary.told()
