"""`neon_weights.pt`: a flat map from parameter name to tensor, read without running its pickle."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from neon_edge.errors import ConfigWrong

FILE_NAME = "neon_weights.pt"
_SHOWN = 4


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of `path` as float32. Raises `ConfigWrong` on anything else."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ConfigWrong(
            f"{path.parent} has no weights", f"{path} is missing", "copy the checkpoint again"
        ) from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, OSError) as why:
        size = path.stat().st_size if path.is_file() else 0
        raise ConfigWrong(
            f"{path.name} is damaged or no weight file",
            f"{path}, {size} bytes: {str(why).splitlines()[0] if str(why) else type(why).__name__}",
            "copy the checkpoint again and compare its size with the original",
        ) from None
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in loaded.items()
    ):
        raise ConfigWrong(
            f"{path.name} is not a map from parameter name to tensor",
            f"{path} holds a {type(loaded).__name__}",
            "save it with neon-vla's save_pretrained",
        )
    return {name: _finite(path, name, tensor) for name, tensor in loaded.items()}


def _finite(path: Path, name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        raise ConfigWrong(
            f"tensor {name!r} is {tensor.dtype}, not a float",
            f"file {path}",
            "save the checkpoint again",
        )
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise ConfigWrong(
            f"tensor {name!r} is not finite",
            f"{bad} of {tensor.numel()} values are NaN or infinite; file {path}",
            "training diverged: deploy an earlier checkpoint",
        )
    return tensor.detach().to(torch.float32)


def fill(module: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Copy `weights` into `module`: same names, same shapes, nothing over. Raises `ConfigWrong`."""
    parameters = dict(module.named_parameters())
    missing = sorted(set(parameters) - set(weights))
    unexpected = sorted(set(weights) - set(parameters))
    misshapen = [
        f"{name} is {tuple(weights[name].shape)}, config.json makes it {tuple(parameter.shape)}"
        for name, parameter in parameters.items()
        if name in weights and weights[name].shape != parameter.shape
    ]
    for what, names in (
        ("lacks tensors", missing),
        ("has tensors that config.json does not declare", unexpected),
        ("has tensors of another shape", misshapen),
    ):
        if names:
            raise ConfigWrong(
                f"{source.name} {what}",
                _list(names),
                f"config.json beside {source} belongs to another checkpoint; copy both again",
            )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def _list(names: list[str]) -> str:
    rest = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
