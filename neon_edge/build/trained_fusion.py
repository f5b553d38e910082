"""The fusion that was trained with the heads, as their checkpoint holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch

from neon_edge.build.recipe import Recipe
from neon_edge.build.weights import Weights
from neon_edge.errors import ConfigWrong

TRAINED = "tribe_backbone."
"""Ahead of the fusion's tensors in a checkpoint."""
FUSION = "fusion."


class TrainedFusion(Weights):
    """The fusion as the checkpoint holds it, over weights that hold all else."""

    def __init__(
        self, trained: Mapping[str, torch.Tensor], recipe: Recipe, beneath: Weights | None
    ) -> None:
        self.origin = beneath.origin if beneath is not None else f"checkpoint, {TRAINED}*"
        self.directory = beneath.directory if beneath is not None else None
        self._beneath = beneath
        start = len(TRAINED)
        self._tensors = {
            FUSION + name[start:]: value
            for name, value in trained.items()
            if name.startswith(TRAINED)
        }
        wanted = {n: s for n, s in recipe.adaptor.tensors().items() if n.startswith(FUSION)}
        for name, shape in wanted.items():
            found = self._tensors.get(name)
            if found is None or tuple(found.shape) != shape:
                facts = "it is not there" if found is None else f"its shape is {found.shape}"
                raise ConfigWrong(
                    "the checkpoint's fusion is not the recipe's",
                    f"{TRAINED}{name[len(FUSION) :]}: {facts}, the recipe makes it {shape}",
                    "use the recipe that the heads were trained on",
                )

    @property
    def sha256(self) -> str:
        """Of every number and its name."""
        digest = hashlib.sha256()
        for name, value in sorted(self._tensors.items()):
            digest.update(name.encode() + value.contiguous().numpy().tobytes())
        if self._beneath is not None:
            digest.update(bytes.fromhex(self._beneath.sha256))
        return digest.hexdigest()

    def tensor(self, name: str) -> torch.Tensor:
        """A copy of the checkpoint's, or what lies beneath."""
        if name in self._tensors:
            return self._tensors[name].clone()
        assert self._beneath is not None, name
        return self._beneath.tensor(name)
