"""A published checkpoint whose Linears are quantised, as weights that a float export reads."""

from __future__ import annotations

from pathlib import Path

import torch

from neon_edge.build.importers import QuantisedCheckpoint
from neon_edge.build.published import PublishedFiles
from neon_edge.build.recipe import Recipe
from neon_edge.build.weights import Weights, finite
from neon_edge.errors import ConfigWrong

_WEIGHT = ".weight"
_BIAS = ".bias"


class QuantisedWeights(Weights):
    """GPTQ, AWQ, compressed-tensors or ModelOpt, as strictly the recipe's as a float one.

    `tensor` dequantises; `checkpoint` has the codes, which `build.quantise.published` puts into
    the graphs once they exist. Raises `ConfigWrong`, naming the layout where it is not known.
    """

    def __init__(self, directory: Path, recipe: Recipe, origin: str) -> None:
        adaptor = recipe.adaptor
        self.origin = origin
        self.directory = directory
        self.checkpoint = QuantisedCheckpoint(directory)
        self._recipe = recipe.name
        self._shapes = adaptor.tensors()
        self._files = PublishedFiles(directory)
        wanted = {name.removesuffix(_WEIGHT) for name in self._shapes if name.endswith(_WEIGHT)}
        self.modules = sorted(wanted & set(self.checkpoint.names))
        """Those of the recipe that are quantised; a head that is not exported is none."""
        if not self.modules:
            raise ConfigWrong(
                f"no quantised layer of these weights is one of recipe {recipe.name!r}",
                f"there are {len(self.checkpoint.names)}, such as {self.checkpoint.names[0]!r}",
                "use the recipe of the model that was quantised",
            )
        plain = {
            name: shape
            for name, shape in self._shapes.items()
            if name.removesuffix(_WEIGHT) not in self.modules
        }
        self._files.check(plain, adaptor.prefixes, recipe.name, self._is_quantised)
        self._files.check_settings(adaptor.settings(), recipe.name)

    @property
    def sha256(self) -> str:
        """Of every file: fields of a layer may lie in any."""
        return self._files.sha256(self._files.names)

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor, float32; a quantised one is what its codes and scales stand for."""
        module = name.removesuffix(_WEIGHT)
        if not name.endswith(_WEIGHT) or module not in self.modules:
            return finite(name, self._files.read(name).to(torch.float32), self._files.file_of(name))
        weight = torch.from_numpy(self.checkpoint.weight(module))
        if tuple(weight.shape) != self._shapes[name]:
            raise ConfigWrong(
                f"these weights are not those of recipe {self._recipe!r}: layer {module!r}",
                f"it is {tuple(weight.shape)} once unpacked, the recipe makes it "
                f"{self._shapes[name]}",
                "use the weights that the recipe names",
            )
        return weight

    def _is_quantised(self, name: str) -> bool:
        """A field of a quantised layer, or the zeros that auto-gptq writes where no bias was."""
        found = self.checkpoint.field_of(name)
        if found is not None:
            return found[0] in self.modules
        known = name.removesuffix(_BIAS) in self.modules and name.endswith(_BIAS)
        return known and not bool(self._files.read(name).any())
