"""A backbone's engines opened one at a time, though each of its passes runs them all.

    every moment ─▶ part 0 │ every moment ─▶ part 0 (remembered) ─▶ part 1 │ …

A pass is given up at the first part whose turn it is not; the next round remembers what the parts
so far made of each input, and comes one part further. So the runtime's own code is what is
verified, and the peak is the largest part's plan and not the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from neon_edge.engine.contract import Engine, Tensors
from neon_edge.engine.manifest import Part, TensorSpec


class NotYet(Exception):
    """The pass needs a part whose turn has not come."""


class Turns:
    """`open_part` opens one part's plan; `kept` is a folder for what each part made."""

    def __init__(self, parts: list[Part], open_part: Callable[[Part], Engine], kept: Path) -> None:
        self._open_part = open_part
        self._kept = kept
        self._turn: _Remembering | None = None
        self._engine: Engine | None = None
        self.engines: list[Engine] = [_Remembering(part, self) for part in parts]

    def next(self) -> None:
        """Close the part whose turn it was: the next one that a pass lacks is opened for it."""
        if self._engine is not None:
            self._engine.close()
        self._turn = self._engine = None

    def made(self, asked: _Remembering) -> Tensors:
        """What the part makes of its inputs, now or before. Raises `NotYet`."""
        file = self._kept / f"{asked.part.name}-{_digest(asked.inputs)}.npz"
        if file.exists():
            with np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        if self._engine is None:
            self._engine, self._turn = self._open_part(asked.part), asked
        if self._turn is not asked:
            raise NotYet
        for name, value in asked.inputs.items():
            np.copyto(self._engine.inputs[name], value)
        self._engine.start()
        self._engine.wait()
        np.savez(file, allow_pickle=False, **self._engine.outputs)
        return self._engine.outputs


class _Remembering:
    """An `Engine` of one part, run in its turn and remembered afterwards."""

    def __init__(self, part: Part, turns: Turns) -> None:
        self.part = part
        self.inputs: Tensors = {spec.name: _buffer(spec) for spec in part.inputs}
        self.outputs: Tensors = {spec.name: _buffer(spec) for spec in part.outputs}
        self._turns = turns

    def start(self) -> None:
        """Fill the outputs. Raises `NotYet`."""
        for name, value in self._turns.made(self).items():
            np.copyto(self.outputs[name], value)

    def wait(self) -> None:
        """Return at once: `start` has already waited."""

    def close(self) -> None:
        """Nothing is open here."""


def _buffer(spec: TensorSpec) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    return np.zeros(spec.shape, spec.dtype)


def _digest(inputs: Tensors) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, value in inputs.items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest()
