"""Several engines as one: the slow ones run again only when their inputs have changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from neon_edge.engine.contract import Array, Engine, Tensors


class StagedEngine:
    """`slow` engines, whose inputs change now and then, feeding `fast`, which runs every time.

    Outputs of the slow ones go to the inputs of `fast` that carry their names; the caller sees the
    inputs of all, less those, and the outputs of `fast`. Owns all of them.
    """

    def __init__(self, slow: Sequence[Engine], fast: Engine) -> None:
        self._fast = fast
        self._stages = [_Stage(engine, fast) for engine in slow]
        inner = {name for engine in slow for name in engine.outputs}
        shown = {name: array for engine in slow for name, array in engine.inputs.items()}
        shown.update({name: a for name, a in fast.inputs.items() if name not in inner})
        self.inputs: Tensors = shown
        self.outputs: Tensors = fast.outputs

    def told(self, name: str) -> Callable[[], None]:
        """Call what this gives whenever `name`, which is large, was written.

        Its slow engine no longer compares its inputs with those of its last run.
        """
        stage = next(stage for stage in self._stages if name in stage.engine.inputs)
        return stage.wait_to_be_told()

    def start(self) -> None:
        """Run to their end the slow engines that must run, then start `fast`."""
        for stage in self._stages:
            stage.refresh()
        self._fast.start()

    def wait(self) -> None:
        """Return when the outputs hold the result of the last `start`."""
        self._fast.wait()

    def close(self) -> None:
        """Free all of them."""
        for stage in self._stages:
            stage.engine.close()
        self._fast.close()


class _Stage:
    """A slow engine, and what it last saw."""

    def __init__(self, engine: Engine, fast: Engine) -> None:
        self.engine = engine
        self._links: list[tuple[Array, Array]] = [
            (output, fast.inputs[name]) for name, output in engine.outputs.items()
        ]
        # A bytearray compares itself with a buffer in place: no array of differences is made.
        self._seen = [(array.data, bytearray(array.nbytes)) for array in engine.inputs.values()]
        self._valid = False

    def wait_to_be_told(self) -> Callable[[], None]:
        """Compare nothing from now on; what this gives says that there is something new."""
        self._seen = []
        return self._renew

    def _renew(self) -> None:
        self._valid = False

    def refresh(self) -> None:
        """Run if a bit of an input changed since the last run that ended well."""
        if self._valid and all(seen == given for given, seen in self._seen):
            return
        self._valid = False
        self.engine.start()
        self.engine.wait()
        for output, target in self._links:
            np.copyto(target, output)
        for given, seen in self._seen:
            seen[:] = given.cast("B")
        self._valid = True
