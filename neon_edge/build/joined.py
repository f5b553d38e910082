"""Weights that several publishers hold: a folder each, and a fusion of one kind or the other.

DIR/video DIR/audio DIR/text     each as it was published
DIR/fusion                       TRIBE v2's own, where the recipe is fused by it
neon_weights.pt                  tribe_backbone.*: upstream's, trained with the heads
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch

from neon_edge.backbones.contract import Joined, Published
from neon_edge.build.published import PublishedFiles, fetch
from neon_edge.build.recipe import Recipe
from neon_edge.build.trained_fusion import TRAINED, TrainedFusion
from neon_edge.build.weights import RANDOM, Weights, finite, open_weights
from neon_edge.engine.manifest import WeightsSource
from neon_edge.errors import ConfigWrong

PUBLISHED = "published"
"""`weights` of a recipe whose sources are fetched from the hub, each by its own id."""
TEXT = "text"
FUSED = "fusion"
ENCODERS = ("video", "audio", TEXT)

Value = TypeVar("Value")

_COMMIT = re.compile(r"[0-9a-f]{40}")
_NOWHERE = Published("", "", "")


class JoinedWeights(Weights):
    """A `TensorSource` over several, by the first word of a tensor's name.

    `fusion` holds what no folder does; None where a folder holds the fusion too.
    """

    def __init__(
        self, recipe: Recipe, folders: Mapping[str, Path], fusion: Weights | None, origin: str
    ) -> None:
        adaptor = recipe.adaptor
        assert isinstance(adaptor, Joined)
        self.origin = origin
        # Where no word reaches the features, nobody needs the published tokenizer.
        self.directory = folders.get(TEXT)
        self._fusion = fusion
        shapes, settings = adaptor.tensors(), adaptor.settings()
        self._files: dict[str, PublishedFiles] = {}
        found = []
        for name, folder in folders.items():
            inner = tuple(_own(dict.fromkeys(adaptor.prefixes), name))
            files = self._files[name] = PublishedFiles(folder)
            wanted = _own(shapes, name)
            files.check(wanted, inner, f"{recipe.name}, {name}")
            files.check_settings(_own(settings, name), f"{recipe.name}, {name}")
            known = adaptor.sources.get(name, _NOWHERE)
            digest = files.sha256(wanted)
            found.append(
                WeightsSource(
                    name, known.model_id, _commit(folder, known.revision), known.licence, digest
                )
            )
        self.moving = [_moving(one) for one in found if _COMMIT.fullmatch(one.revision) is None]
        if fusion is not None:
            found.append(WeightsSource(FUSED, fusion.origin, "", "", fusion.sha256))
        self.sources = found

    @property
    def sha256(self) -> str:
        """Of every file that holds a tensor of the path, and of the fusion."""
        digest = hashlib.sha256()
        for source in sorted(self.sources, key=lambda one: one.name):
            digest.update(source.name.encode() + bytes.fromhex(source.sha256))
        return digest.hexdigest()

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor, float32, every value finite."""
        source, _, inner = name.partition(".")
        if source not in self._files:
            assert self._fusion is not None, name
            return self._fusion.tensor(name)
        files = self._files[source]
        return finite(name, files.read(inner).to(torch.float32), files.file_of(inner))


def open_all_weights(
    given: str | None, recipe: Recipe, trained: Mapping[str, torch.Tensor]
) -> Weights:
    """As `open_weights`, for recipes whose weights come from several places too.

    `trained` are the checkpoint's tensors that belong to no head. Raises `ConfigWrong`.
    """
    adaptor = recipe.adaptor
    if not isinstance(adaptor, Joined):
        return open_weights(given, recipe)
    spec = given or recipe.text.weights
    if spec.startswith(RANDOM):
        drawn = open_weights(spec, recipe)
        has_fusion = any(name.startswith(TRAINED) for name in trained)
        return TrainedFusion(trained, recipe, drawn) if has_fusion else drawn
    read = [name for name in ENCODERS if _own(adaptor.tensors(), name)]
    if adaptor.fusion_published:
        folders = _folders(spec, recipe, adaptor, [*read, FUSED])
        return JoinedWeights(recipe, folders, None, spec)
    fusion = TrainedFusion(trained, recipe, None)
    return JoinedWeights(recipe, _folders(spec, recipe, adaptor, read), fusion, spec)


def _folders(spec: str, recipe: Recipe, adaptor: Joined, read: list[str]) -> dict[str, Path]:
    """Where everything that the recipe reads lies; other folders need not be there."""
    if Path(spec).is_dir():
        return {name: Path(spec) / name for name in read}
    unknown = [name for name in read if name not in adaptor.sources]
    if spec != PUBLISHED or unknown:
        raise ConfigWrong(
            f"no weights called {spec!r}",
            f"recipe {recipe.name!r} reads {', '.join(read)}, each from a folder"
            + (f"; it does not say where {unknown[0]} is published" if unknown else ""),
            f"give --weights DIR with these folders, or {PUBLISHED} to download them",
        )
    if FUSED in read:
        known = adaptor.sources[FUSED]
        raise ConfigWrong(
            "the fusion is not published in a form that can be fetched",
            f"{known.model_id} at {known.revision} is a Lightning checkpoint, not safetensors",
            f"save its state_dict as DIR/{FUSED}/model.safetensors and the encoders beside it: "
            "--weights DIR",
        )
    return {
        name: fetch(adaptor.sources[name].model_id, adaptor.sources[name].revision) for name in read
    }


def _own(table: Mapping[str, Value], source: str) -> dict[str, Value]:
    """What stands behind the source's name, without it."""
    start = f"{source}."
    return {key[len(start) :]: value for key, value in table.items() if key.startswith(start)}


def _commit(folder: Path, stated: str) -> str:
    """The hub's cache keeps each commit in a folder of its name."""
    name = folder.resolve().name
    return name if _COMMIT.fullmatch(name) else stated


def _moving(source: WeightsSource) -> str:
    where = (
        f"{source.model_id} at {source.revision}" if source.model_id else "the recipe names none"
    )
    return f"{source.name} is of no known commit ({where}); sha256 {source.sha256[:16]} is recorded"
