"""Reading a checkpoint's JSON files, with errors that name the file and the place in it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from neon_edge.errors import ConfigWrong

T = TypeVar("T")


def read_json(path: Path, shape: type[T]) -> T:
    """Decode `path` as a `shape`. Raises `ConfigWrong`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except OSError as failure:
        raise ConfigWrong(
            f"{path.parent} is not a Neon checkpoint",
            f"{path}: {failure.strerror}",
            "name the directory that holds config.json, action_space.json and neon_weights.pt",
        ) from None
    except msgspec.ValidationError as failure:
        raise ConfigWrong(
            f"{path.name} does not describe a checkpoint we know",
            f"{path}: {failure}",
            "save the checkpoint again with neon-vla 0.1.5",
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as failure:
        raise ConfigWrong(
            f"{path.name} is not valid JSON", f"{path}: {failure}", "copy the checkpoint again"
        ) from None
