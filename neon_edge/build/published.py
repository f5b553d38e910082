"""A published checkpoint on disk: safetensors shards and their index."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open

from neon_edge.build.published_config import check_settings, read_json
from neon_edge.engine.files import sha256_file
from neon_edge.errors import ConfigWrong

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_WANTED = ["*.safetensors", INDEX, "*.json", "merges.txt"]
_SHOWN = 3


class PublishedFiles:
    """Which file holds which tensor. Opens files, reads no weights until asked."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._place = _places(directory)
        self._hashed: dict[Path, str] = {}

    @property
    def names(self) -> list[str]:
        """Every tensor that is stored."""
        return list(self._place)

    def file_of(self, name: str) -> Path:
        """The file that holds tensor `name`."""
        return self._place[name]

    def check(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        prefixes: tuple[str, ...],
        recipe: str,
        besides: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Names and shapes, strictly, of all but what is `besides`.

        Raises `ConfigWrong` naming the first tensor that differs.
        """
        self._check_names(shapes, prefixes, recipe, besides)
        for file in sorted({self._place[name] for name in shapes}):
            with _opened(file) as tensors:
                held = set(tensors.keys())
                for name in (name for name in shapes if self._place[name] == file):
                    if name not in held:
                        raise _wrong(name, f"{file} does not hold it, its index says so", recipe)
                    shape = tuple(tensors.get_slice(name).get_shape())
                    if shape != shapes[name]:
                        facts = f"shape {shape} in {file}, the recipe makes it {shapes[name]}"
                        raise _wrong(name, facts, recipe)

    def check_settings(self, settings: Mapping[str, Any], recipe: str) -> None:
        """What config.json says must be the recipe's. Raises `ConfigWrong`."""
        check_settings(self._directory, settings, recipe)

    def read(self, name: str) -> torch.Tensor:
        """One tensor as stored. Raises `ConfigWrong` where the file ends early."""
        file = self._place[name]
        with _opened(file) as tensors:
            try:
                return cast("torch.Tensor", tensors.get_tensor(name))
            except SafetensorError as failure:
                raise _damaged(file, failure) from failure

    def sha256(self, names: Iterable[str]) -> str:
        """Of the files that hold `names`, in the order of their file names. Each is read once."""
        digest = hashlib.sha256()
        for file in sorted({self._place[name] for name in names}):
            if file not in self._hashed:
                self._hashed[file] = sha256_file(file)
            digest.update(bytes.fromhex(self._hashed[file]))
        return digest.hexdigest()

    def _check_names(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        prefixes: tuple[str, ...],
        recipe: str,
        besides: Callable[[str], bool],
    ) -> None:
        missing = [name for name in shapes if name not in self._place]
        if missing:
            raise _wrong(missing[0], f"not in {self._directory}{_others(missing)}", recipe)
        unknown = [
            name
            for name in self._place
            if name.startswith(prefixes) and name not in shapes and not besides(name)
        ]
        if unknown:
            facts = f"in {self._place[unknown[0]]}, unknown to the recipe{_others(unknown)}"
            raise _wrong(unknown[0], facts, recipe)


def fetch(hub_id: str, revision: str) -> Path:
    """Download a checkpoint (or find it in the hub's cache). Raises `ConfigWrong`."""
    if _HUB_ID.fullmatch(hub_id) is None:
        raise ConfigWrong(
            f"no weights called {hub_id!r}",
            "it is no directory, no hub id (OWNER/NAME) and no random:SEED",
            "give one of the three with --weights",
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=_WANTED))
    except Exception as failure:
        raise ConfigWrong(
            f"{hub_id} cannot be downloaded",
            f"revision {revision}: {' '.join(str(failure).split())[:300]}",
            "download it where there is a network and give its directory with --weights",
        ) from failure


def _places(directory: Path) -> dict[str, Path]:
    index = directory / INDEX
    if index.exists():
        places = {name: directory / file for name, file in _weight_map(index).items()}
        for file in sorted(set(places.values())):
            if not file.exists():
                raise ConfigWrong(
                    "a shard of the weights is missing",
                    f"{file}, named in {index}",
                    "download it again",
                )
        return places
    # Quantisers name their one file as they like: gptq_model-4bit-128g.safetensors.
    single = directory / SINGLE
    files = [single] if single.exists() else sorted(directory.glob("*.safetensors"))
    if not files:
        raise ConfigWrong(
            f"no weights in {directory}",
            f"neither {INDEX} nor {SINGLE}",
            "give the directory of a published checkpoint",
        )
    places = {}
    for file in files:
        with _opened(file) as tensors:
            places |= dict.fromkeys(tensors.keys(), file)
    return places


def _weight_map(index: Path) -> dict[str, str]:
    listed = read_json(index)
    found = listed.get("weight_map") if isinstance(listed, dict) else None
    if not isinstance(found, dict) or not all(isinstance(file, str) for file in found.values()):
        raise ConfigWrong(
            "the index of the weights names no tensors",
            f"{index}: its weight_map is {str(found)[:80]}",
            "download it again",
        )
    return found


def _opened(file: Path) -> Any:
    try:
        return safe_open(str(file), framework="pt")
    except (SafetensorError, OSError) as failure:
        raise _damaged(file, failure) from failure


def _damaged(file: Path, failure: Exception) -> ConfigWrong:
    return ConfigWrong(
        f"{file.name} is damaged or cut off",
        f"{file}, {file.stat().st_size} bytes: {failure}",
        "download it again",
    )


def _wrong(name: str, facts: str, recipe: str) -> ConfigWrong:
    return ConfigWrong(
        f"these weights are not those of recipe {recipe!r}: tensor {name!r}",
        facts,
        "use the weights that the recipe names",
    )


def _others(names: list[str]) -> str:
    rest = names[1 : 1 + _SHOWN]
    more = len(names) - 1 - len(rest)
    return (f"; also {', '.join(rest)}" if rest else "") + (f" and {more} more" if more else "")
