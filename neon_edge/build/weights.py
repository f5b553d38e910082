"""A backbone's weights: the published safetensors layout, or numbers drawn from a seed.

Both hand out one tensor at a time; a whole model is never in memory because of this module.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from neon_edge.build.importers import is_quantised
from neon_edge.build.published import PublishedFiles, fetch
from neon_edge.build.recipe import Recipe
from neon_edge.engine.manifest import WeightsSource
from neon_edge.errors import ConfigWrong

RANDOM = "random:"

_SCHEME = "uniform-fan-in-1"
_SMALL = 0.1


class Weights(ABC):
    """A `TensorSource` that knows where it came from."""

    origin: str
    """As the manifest records it: a directory, a hub id, or random:SEED."""
    directory: Path | None
    """Where the published files are, tokenizer included; None where nothing was published."""
    sources: Sequence[WeightsSource] = ()
    """Each, where there are several; nothing where one place holds it all."""
    moving: Sequence[str] = ()
    """What was read at no commit that anybody knows, a line each; said at every build."""

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Of everything that `tensor` can return."""

    @abstractmethod
    def tensor(self, name: str) -> torch.Tensor:
        """One tensor, float32, every value finite. Raises `ConfigWrong` naming it."""


class RandomWeights(Weights):
    """Numbers that depend on seed and name alone, so that any part can be made by itself.

    Matrices are uniform with variance 1 / fan-in, which keeps activations near one; norm weights
    lie around one, biases around zero, the embedding table at unit variance.
    """

    def __init__(self, seed: int, shapes: Mapping[str, tuple[int, ...]], embedding: str) -> None:
        self.origin = f"{RANDOM}{seed}"
        self.directory = None
        self._seed = seed
        self._shapes = dict(shapes)
        self._embedding = embedding

    @property
    def sha256(self) -> str:
        """Of the scheme, the seed and every name and shape."""
        text = repr((_SCHEME, self._seed, sorted(self._shapes.items())))
        return hashlib.sha256(text.encode()).hexdigest()

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor, the same in every order of asking."""
        shape = self._shapes[name]
        key = hashlib.sha256(f"{self._seed}:{name}".encode()).digest()
        stream = np.random.Generator(np.random.PCG64(int.from_bytes(key[:16], "little")))
        values = stream.random(math.prod(shape), dtype=np.float32)
        middle, spread = self._range(name, shape)
        values *= 2 * spread
        values += middle - spread
        return torch.from_numpy(values.reshape(shape))

    def _range(self, name: str, shape: tuple[int, ...]) -> tuple[float, float]:
        if name == self._embedding:
            return 0.0, math.sqrt(3)
        if len(shape) == 1:
            return (0.0 if name.endswith("bias") else 1.0), _SMALL
        return 0.0, math.sqrt(3 / math.prod(shape[1:]))


class PublishedWeights(Weights):
    """A directory of safetensors files, strictly as the recipe describes them."""

    def __init__(self, directory: Path, recipe: Recipe, origin: str) -> None:
        adaptor = recipe.adaptor
        self.origin = origin
        self.directory = directory
        self._shapes = adaptor.tensors()
        self._files = PublishedFiles(directory)
        self._files.check(self._shapes, adaptor.prefixes, recipe.name)
        self._files.check_settings(adaptor.settings(), recipe.name)

    @property
    def sha256(self) -> str:
        """Of every file that holds a tensor of the path."""
        return self._files.sha256(self._shapes)

    def tensor(self, name: str) -> torch.Tensor:
        """Read one tensor and widen it to float32."""
        return finite(name, self._files.read(name).to(torch.float32), self._files.file_of(name))


def all_finite(value: torch.Tensor) -> bool:
    """Whether every number is one: a NaN is both the least and the largest of its tensor.

    A tenth of what `torch.isfinite` takes on weights, which makes a tensor of answers.
    """
    return value.numel() == 0 or all(math.isfinite(end) for end in torch.aminmax(value))


def finite(name: str, value: torch.Tensor, file: Path) -> torch.Tensor:
    """The same, if every number is one. Raises `ConfigWrong`."""
    if all_finite(value):
        return value
    raise ConfigWrong(
        f"tensor {name!r} holds numbers that are not finite",
        f"{int((~torch.isfinite(value)).sum())} of {value.numel()} in {file}",
        "the file is damaged: download it again",
    )


def open_weights(given: str | None, recipe: Recipe) -> Weights:
    """Weights of `recipe` from a directory, a hub id or random:SEED (default: the recipe's own).

    Names, shapes and settings are checked here; numbers when a tensor is read.
    Raises `ConfigWrong`.
    """
    spec = given or recipe.text.weights
    if spec.startswith(RANDOM):
        seed = spec[len(RANDOM) :]
        if not seed.isdecimal():
            raise ConfigWrong(f"{spec!r} has no seed", "a seed is a whole number", "write random:0")
        return RandomWeights(int(seed), recipe.adaptor.tensors(), recipe.adaptor.embedding)
    directory = Path(spec) if Path(spec).is_dir() else fetch(spec, recipe.text.revision)
    if is_quantised(directory):
        from neon_edge.build.quantised_weights import QuantisedWeights

        return QuantisedWeights(directory, recipe, spec)
    return PublishedWeights(directory, recipe, spec)
