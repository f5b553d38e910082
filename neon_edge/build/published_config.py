"""config.json of a published checkpoint, read as transformers reads it, against a recipe.

A key that the file leaves out means what transformers takes for it; what older versions call
`rope_theta` and `rope_scaling` is `rope_parameters` in a recipe's list of settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neon_edge.errors import ConfigWrong

FILE_NAME = "config.json"


def check_settings(directory: Path, settings: Mapping[str, Any], recipe: str) -> None:
    """What shapes cannot show is the recipe's. `settings` maps dotted keys to values.

    Raises `ConfigWrong` where there is no config.json, or it says nothing or something else.
    """
    if not settings:
        return
    path = directory / FILE_NAME
    published = _read(path)
    for key, ours in settings.items():
        theirs = _dotted(published, key)
        if theirs is None:
            raise _wrong(recipe, f"{path}: nothing is said of {key}, the recipe says {ours}")
        if theirs != ours:
            raise _wrong(recipe, f"{path}: {key} is {theirs}, the recipe says {ours}")


def read_json(path: Path) -> Any:
    """A JSON file. Raises `ConfigWrong` where it is cut off or none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as failure:
        raise ConfigWrong(
            f"{path.name} is damaged", f"{path}: {failure}", "download it again"
        ) from failure


def _read(path: Path) -> Any:
    if not path.is_file():
        raise ConfigWrong(
            "nobody says how these weights are to be read",
            f"there is no {path}: heads, norms and rotary constants stand in no shape",
            "download config.json that was published with the weights",
        )
    # Here and not above: the tables of all families take a second.
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    raw = read_json(path)
    kind = raw.get("model_type") if isinstance(raw, dict) else None
    if kind not in CONFIG_MAPPING:
        raise ConfigWrong(
            f"{path.name} is of no model that transformers knows",
            f"{path}: model_type is {kind!r}",
            "download config.json that was published with the weights",
        )
    try:
        return CONFIG_MAPPING[kind].from_dict(raw).to_dict()
    except Exception as failure:  # each family checks its fields in its own way
        raise ConfigWrong(
            f"transformers refuses {path.name}",
            f"{path}: {' '.join(str(failure).split())[:300]}",
            "download config.json that was published with the weights",
        ) from failure


def _wrong(recipe: str, facts: str) -> ConfigWrong:
    return ConfigWrong(
        f"these weights are not those of recipe {recipe!r}",
        facts,
        "use the weights that the recipe names",
    )


def _dotted(table: Any, key: str) -> Any:
    for step in key.split("."):
        if not isinstance(table, dict) or step not in table:
            return None
        table = table[step]
    return list(table) if isinstance(table, tuple) else table
