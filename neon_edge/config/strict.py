"""Strict TOML: an unknown key is refused with the nearest known one, a value with its place."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from neon_edge.errors import ConfigWrong

T = TypeVar("T")

_UNKNOWN = re.compile(r"unknown field `(?P<key>[^`]+)`(?: - at `\$(?P<place>[^`]*)`)?")


def decode_toml(path: Path, shape: type[T]) -> T:
    """Read `path` as a `shape` (a msgspec Struct). Raises `ConfigWrong` naming key and place."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as failure:
        raise ConfigWrong(
            f"{path.name} cannot be read", f"{path}: {failure.strerror}", "check the path"
        ) from failure
    try:
        return msgspec.toml.decode(text, type=shape, strict=True)
    except msgspec.ValidationError as failure:
        raise _explained(path, shape, failure) from None
    except (msgspec.DecodeError, ValueError) as failure:
        raise ConfigWrong(
            f"{path.name} is not valid TOML", f"{path}: {failure}", "mend the line it names"
        ) from None


def _explained(path: Path, shape: type[Any], failure: Exception) -> ConfigWrong:
    message = str(failure)
    unknown = _UNKNOWN.search(message)
    if unknown is None:
        return ConfigWrong(
            f"{path.name}: {message}", f"file {path}", "correct the value at that place"
        )
    key = unknown["key"]
    near = difflib.get_close_matches(key, sorted(known_keys(shape)), n=1, cutoff=0.6)
    fix = f"did you mean {near[0]!r}?" if near else "remove it"
    place = unknown["place"] or ""
    return ConfigWrong(f"{path.name}: unknown key {key!r}", f"file {path}, at ${place}", fix)


def known_keys(shape: type[Any]) -> set[str]:
    """Every key that may appear anywhere in a `shape`, for suggestions."""
    keys: set[str] = set()
    seen: set[Any] = set()
    _gather(msgspec.inspect.type_info(shape), keys, seen)
    return keys


def _gather(kind: msgspec.inspect.Type, keys: set[str], seen: set[Any]) -> None:
    if isinstance(kind, msgspec.inspect.StructType):
        if kind.cls in seen:
            return
        seen.add(kind.cls)
        for field in kind.fields:
            keys.add(field.encode_name)
            _gather(field.type, keys, seen)
    for attribute in ("item_type", "value_type", "types"):
        inner = getattr(kind, attribute, None)
        for part in inner if isinstance(inner, tuple) else (inner,):
            if isinstance(part, msgspec.inspect.Type):
                _gather(part, keys, seen)
