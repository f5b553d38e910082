"""What an engine is: a compiled network with fixed shapes and its own buffers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]


class Engine(Protocol):
    """Fill `inputs`, call `start`, call `wait`, read `outputs`.

    The buffers are made once and never change address, so that a CUDA graph can be captured over
    them. Nothing of the engine's own is allocated after construction.
    """

    @property
    def inputs(self) -> Tensors:
        """Buffers to fill, by name."""

    @property
    def outputs(self) -> Tensors:
        """Buffers to read after `wait`, by name."""

    def start(self) -> None:
        """Enqueue one inference. May return before it is done."""

    def wait(self) -> None:
        """Return when `outputs` hold the result of the last `start`."""

    def close(self) -> None:
        """Free what was opened. The buffers are invalid afterwards."""


def infer(engine: Engine, tensors: Tensors) -> dict[str, Array]:
    """One blocking inference, copied out. For tests and builds; the robot calls start and wait."""
    for name, value in tensors.items():
        np.copyto(engine.inputs[name], value)
    engine.start()
    engine.wait()
    return {name: value.copy() for name, value in engine.outputs.items()}
