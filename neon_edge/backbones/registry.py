"""Families by name. A new backbone is one line here, one adaptor file and a recipe."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import cast

from neon_edge.backbones.contract import Adaptor
from neon_edge.errors import ConfigWrong

_FAMILIES = {
    "qwen3_vl": "neon_edge.backbones.qwen3_vl:Qwen3VL",
    "qwen_omni": "neon_edge.backbones.qwen_omni:QwenOmni",
    "qwen_vl": "neon_edge.backbones.qwen_vl:QwenVL",
    "tribe": "neon_edge.backbones.tribe_family:Tribe",
}


def families() -> list[str]:
    """Every family there is an adaptor for."""
    return sorted(_FAMILIES)


def adaptor_class(family: str) -> type[Adaptor]:
    """The adaptor of `family`. Raises `ConfigWrong` with the nearest name."""
    place = _FAMILIES.get(family)
    if place is None:
        near = difflib.get_close_matches(family, families(), n=1)
        raise ConfigWrong(
            f"no backbone family called {family!r}",
            f"there are {', '.join(families())}",
            f"did you mean {near[0]!r}?" if near else "use one of them",
        )
    module, _, name = place.partition(":")
    return cast("type[Adaptor]", getattr(import_module(module), name))
