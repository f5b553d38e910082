"""Weights that several publishers hold: a folder each, and a fusion that the checkpoint brings.

DIR/video DIR/audio DIR/text     each as it was published
neon_weights.pt                  tribe_backbone.*: the fusion, trained with the heads
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch

from neon_edge.backbones.contract import Joined
from neon_edge.build.published import PublishedFiles, fetch
from neon_edge.build.recipe import Recipe
from neon_edge.build.weights import RANDOM, Weights, open_weights
from neon_edge.errors import ConfigWrong

PUBLISHED = "published"
"""`weights` of a recipe whose sources are fetched from the hub, each by its own id."""
TRAINED = "tribe_backbone."
"""Ahead of the fusion's tensors in a checkpoint."""
FUSION = "fusion."
SOURCES = ("video", "audio", "text")


class JoinedWeights(Weights):
    """A `TensorSource` over several, by the first word of a tensor's name."""

    def __init__(
        self, recipe: Recipe, folders: Mapping[str, Path], fusion: Weights, origin: str
    ) -> None:
        self.origin = origin
        self.directory = folders["text"]
        shapes = recipe.adaptor.tensors()
        self._shapes = {
            name: {
                full[len(name) + 1 :]: shape
                for full, shape in shapes.items()
                if full.startswith(f"{name}.")
            }
            for name in folders
        }
        self._fusion = fusion
        self._files = {
            name: PublishedFiles(folder) for name, folder in folders.items() if self._shapes[name]
        }
        for name, files in self._files.items():
            start = f"{name}."
            inner = tuple(
                prefix[len(start) :]
                for prefix in recipe.adaptor.prefixes
                if prefix.startswith(start)
            )
            settings = {
                key[len(start) :]: value
                for key, value in recipe.adaptor.settings().items()
                if key.startswith(start)
            }
            files.check(self._shapes[name], inner, f"{recipe.name}, {name}")
            files.check_settings(settings, f"{recipe.name}, {name}")

    @property
    def sha256(self) -> str:
        """Of every file that holds a tensor of the path, and of the fusion."""
        digest = hashlib.sha256(bytes.fromhex(self._fusion.sha256))
        for name, files in sorted(self._files.items()):
            digest.update(name.encode() + bytes.fromhex(files.sha256(self._shapes[name])))
        return digest.hexdigest()

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor, float32, every value finite."""
        source, _, inner = name.partition(".")
        if source not in self._files:
            return self._fusion.tensor(name)
        value = self._files[source].read(inner).to(torch.float32)
        if not bool(torch.isfinite(value).all()):
            raise ConfigWrong(
                f"tensor {name!r} holds numbers that are not finite",
                f"in {self._files[source].file_of(inner)}",
                "the file is damaged: download it again",
            )
        return value


class TrainedFusion(Weights):
    """The fusion as the checkpoint holds it, over weights that hold all else."""

    def __init__(
        self, trained: Mapping[str, torch.Tensor], recipe: Recipe, beneath: Weights | None
    ) -> None:
        self.origin = beneath.origin if beneath is not None else PUBLISHED
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


def open_all_weights(
    given: str | None, recipe: Recipe, trained: Mapping[str, torch.Tensor]
) -> Weights:
    """As `open_weights`, for recipes whose weights come from several places too.

    `trained` are the checkpoint's tensors that belong to no head. Raises `ConfigWrong`.
    """
    if not isinstance(recipe.adaptor, Joined):
        return open_weights(given, recipe)
    spec = given or recipe.text.weights
    has_fusion = any(name.startswith(TRAINED) for name in trained)
    if spec.startswith(RANDOM):
        drawn = open_weights(spec, recipe)
        return TrainedFusion(trained, recipe, drawn) if has_fusion else drawn
    folders = _folders(spec, recipe, recipe.adaptor)
    return JoinedWeights(recipe, folders, TrainedFusion(trained, recipe, None), spec)


def _folders(spec: str, recipe: Recipe, adaptor: Joined) -> dict[str, Path]:
    """Where every source lies; those that the recipe does not read need not be there."""
    if Path(spec).is_dir():
        return {name: Path(spec) / name for name in SOURCES}
    missing = [name for name in SOURCES if name not in adaptor.sources]
    if spec != PUBLISHED or missing:
        raise ConfigWrong(
            f"no weights called {spec!r}",
            f"recipe {recipe.name!r} reads {', '.join(SOURCES)}, each from a folder"
            + (f"; it does not say where {missing[0]} is published" if missing else ""),
            f"give --weights DIR with these folders, or {PUBLISHED} to download them",
        )
    return {name: fetch(known.model_id, known.revision) for name, known in adaptor.sources.items()}
