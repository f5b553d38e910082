"""A model of the original library whose blocks hold weights only while they run.

The library's own forward pass, layer after layer: a block's weights are read when its turn comes
and dropped behind it, so that the peak is one block and not the model. What that proves is what a
model in one piece proves, number for number: the same modules see the same weights and the same
activations. It does not prove that the library's own loader would read the files the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Read = Callable[[str], Tensor]


def stream(model: Any, read: Read) -> Any:
    """Give a model on the meta device its weights through `read`, which is asked by name.

    Members of a `ModuleList` and embedding tables are blocks; what lies outside them is read at
    once and stays. Returns the model.
    """
    blocks = _blocks(model)
    inside = tuple(f"{name}." for name in blocks)
    resident = {name: read(name) for name in model.state_dict() if not name.startswith(inside)}
    model.load_state_dict(resident, strict=False, assign=True)
    for name, block in blocks.items():
        _hook(block, name, read)
    return model.requires_grad_(False)


def _blocks(model: nn.Module) -> dict[str, nn.Module]:
    """Outermost blocks by name."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        if name.startswith(tuple(f"{outer}." for outer in found)):
            continue
        parent = model.get_submodule(name.rpartition(".")[0]) if name else None
        if isinstance(parent, nn.ModuleList) or isinstance(module, nn.Embedding):
            found[name] = module
    return found


def _hook(block: nn.Module, name: str, read: Read) -> None:
    def take(module: nn.Module, _: Any) -> None:
        state = {key: read(f"{name}.{key}") for key in module.state_dict()}
        module.load_state_dict(state, assign=True)
        module.requires_grad_(False)

    def drop(module: nn.Module, _: Any, __: Any) -> None:
        empty = {key: torch.empty_like(t, device="meta") for key, t in module.state_dict().items()}
        module.load_state_dict(empty, assign=True)

    block.register_forward_pre_hook(take)
    block.register_forward_hook(drop)
