"""A quantised checkpoint on disk: what it says of itself, and its layers one at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open

from neon_edge.build.importers.linear import QuantisedLinear, dequantised, refused
from neon_edge.build.importers.read import Layout, layout_of, read_linear
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32

_MARKS = ("qweight", "weight_packed", "weight_scale")
_FIELDS = frozenset(
    ["qweight", "qzeros", "scales", "g_idx", "weight", "weight_packed", "weight_scale",
     "weight_shape", "weight_zero_point", "weight_g_idx", "input_scale", "input_zero_point",
     "pre_quant_scale"]
)  # fmt: skip


class QuantisedCheckpoint:
    """Safetensors files whose `config.json` describes how they were quantised.

    Raises `ConfigWrong` where they do not say, or say something that is not known exactly.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.layout: Layout = layout_of(description(directory))
        self._places: dict[str, Path] = {}
        for file in sorted(directory.glob("*.safetensors")):
            with _opened(file) as tensors:
                self._places |= dict.fromkeys(tensors.keys(), file)
        self.names = sorted(
            {name.rpartition(".")[0] for name in self._places if name.endswith(_MARKS)}
        )
        """Modules that are quantised."""
        self._modules = set(self.names)
        if not self.names:
            raise ConfigWrong(
                "the checkpoint holds no quantised layer",
                f"{len(self._places)} tensors in {directory}, described as {self.layout.kind}",
                "use it as a float checkpoint",
            )

    def layer(self, name: str) -> QuantisedLinear:
        """Module `name`, as published. Raises `ConfigWrong` naming it."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        for tensor, file in self._places.items():
            module, _, last = tensor.rpartition(".")
            if module == name and last in _FIELDS:
                with _opened(file) as tensors:
                    arrays[last] = _array(name, tensors.get_tensor(tensor))
        return read_linear(self.layout, name, arrays)

    def field_of(self, tensor: str) -> tuple[str, str] | None:
        """Module and field of a stored tensor that belongs to a quantised module, else None."""
        module, _, last = tensor.rpartition(".")
        return (module, last) if last in _FIELDS and module in self._modules else None

    def weight(self, name: str) -> Float32:
        """Module `name` as a float Linear's weight (outputs, inputs), for a float export."""
        return np.ascontiguousarray(dequantised(self.layer(name)).T)


def is_quantised(directory: Path) -> bool:
    """True if a checkpoint says of itself that it is quantised, whether or not we know how."""
    return bool(_stated(directory))


def description(directory: Path) -> dict[str, Any]:
    """How it was quantised, in its producer's words. Raises `ConfigWrong` where it does not say."""
    found = _stated(directory)
    if found is None:
        raise ConfigWrong(
            "the checkpoint does not say how it was quantised",
            f"neither quantization_config in config.json nor a file of its own in {directory}",
            "use the float checkpoint",
        )
    return found


def _stated(directory: Path) -> dict[str, Any] | None:
    """From whichever file the producer writes."""
    for file, key in (
        ("config.json", "quantization_config"),
        ("quantize_config.json", ""),
        ("hf_quant_config.json", "quantization"),
    ):
        path = directory / file
        if not path.is_file():
            continue
        try:
            stated = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as failure:
            raise ConfigWrong(
                f"{file} is damaged", f"{path}: {failure}", "download it again"
            ) from None
        if not isinstance(stated, dict):
            raise ConfigWrong(f"{file} is damaged", f"{path}: no table", "download it again")
        found = stated.get(key) if key else {"quant_method": "gptq", **stated}
        if found:
            return dict(found)
    return None


def _array(name: str, tensor: torch.Tensor) -> npt.NDArray[Any]:
    """As stored; NumPy has no bfloat16, and float32 holds it exactly."""
    try:
        array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    except TypeError:
        raise refused(name, f"it holds numbers of type {tensor.dtype}") from None
    return array


def _opened(file: Path) -> Any:
    try:
        return safe_open(str(file), framework="pt")
    except (SafetensorError, OSError) as failure:
        raise ConfigWrong(
            f"{file.name} is damaged or cut off", f"{file}: {failure}", "download it again"
        ) from failure
