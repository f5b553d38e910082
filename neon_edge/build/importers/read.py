"""Which published layout a checkpoint has, by its own description, and one layer of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt

from neon_edge.build.importers.awq import read_awq
from neon_edge.build.importers.compressed import read_int8, read_packed
from neon_edge.build.importers.gptq import read_gptq
from neon_edge.build.importers.linear import QuantisedLinear, refused
from neon_edge.build.importers.modelopt import read_smooth_int8, read_w4a16
from neon_edge.errors import ConfigWrong

Kind = Literal[
    "gptq_v1", "gptq_v2", "awq_gemm", "packed_w4a16", "int_w8a8", "modelopt_w4a16", "modelopt_int8"
]
_WORDS = {"qweight": 2, "qzeros": 2, "scales": 2}
_NEEDED: dict[Kind, dict[str, int]] = {
    "gptq_v1": _WORDS,
    "gptq_v2": _WORDS,
    "awq_gemm": _WORDS,
    "packed_w4a16": {"weight_packed": 2, "weight_scale": 2, "weight_shape": 1},
    "int_w8a8": {"weight": 2, "weight_scale": 0},
    "modelopt_w4a16": {"weight": 2, "weight_scale": 2},
    "modelopt_int8": {"weight": 2, "weight_scale": 0, "input_scale": 0},
}
"""What a layer must have, and with how many axes; 0 is any number of them."""
_PACKED = ("qweight", "qzeros", "weight_packed", "weight_zero_point")
_COUNTED = (*_PACKED, "g_idx", "weight_shape")

_ORDERS = (None, False, "weight", "static")
"""Act-orders of compressed-tensors that leave the stored format alone; "group" stores indices."""


@dataclass(frozen=True)
class Layout:
    """How a checkpoint's layers are stored, and in groups of how many rows (0: not stated)."""

    kind: Kind
    symmetric: bool = True
    group: int = 0


def layout_of(config: Mapping[str, Any]) -> Layout:
    """From `quantization_config` (or ModelOpt's `quantization`). Refuses unknown ones by name."""
    method = str(config.get("quant_method") or config.get("quant_algo") or "").lower()
    if method == "gptq":
        return _gptq(config)
    if method == "awq":
        return _awq(config)
    if method == "compressed-tensors":
        return _compressed(config)
    if method in ("w4a16_awq", "w4a16"):
        return Layout("modelopt_w4a16", group=_group("ModelOpt W4A16", config.get("group_size")))
    if method in ("int8_sq", "int8"):
        return Layout("modelopt_int8")
    raise _unknown(f"quantisation method {method!r}")


def read_linear(
    layout: Layout, name: str, arrays: Mapping[str, npt.NDArray[Any]]
) -> QuantisedLinear:
    """One layer of a checkpoint, its tensors by their last name. Raises `ConfigWrong`."""
    missing = [tensor for tensor in _NEEDED[layout.kind] if tensor not in arrays]
    if missing:
        raise refused(name, f"it has no {', '.join(missing)}")
    _check(layout, name, arrays)
    linear = _read(layout, name, arrays)
    if layout.group > 0 and linear.group != layout.group:
        raise refused(name, f"groups of {linear.group}, the checkpoint says {layout.group}")
    return linear


def _check(layout: Layout, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """What every reader takes for granted: axes, and whole numbers in words of 32 bits."""
    for tensor, axes in _NEEDED[layout.kind].items():
        array = arrays[tensor]
        if array.size == 0 and tensor == "qzeros" and layout.kind != "awq_gemm":
            continue  # Symmetric GPTQ may leave them away.
        if array.size == 0 or (axes and array.ndim != axes):
            needed = f"{axes} axes are needed" if array.size else "it is empty"
            raise refused(name, f"{tensor} is {array.shape}, {needed}")
    packed = layout.kind not in ("int_w8a8", "modelopt_w4a16", "modelopt_int8")
    for tensor, array in arrays.items() if packed else ():
        small = tensor in _PACKED and array.dtype.itemsize != 4
        if tensor in _COUNTED and (array.dtype.kind not in "iu" or small):
            raise refused(name, f"{tensor} is {array.dtype}, whole numbers of 32 bits are needed")


def _read(layout: Layout, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> QuantisedLinear:
    match layout.kind:
        case "gptq_v1" | "gptq_v2":
            version = 1 if layout.kind == "gptq_v1" else 2
            return read_gptq(name, arrays, version=version, symmetric=layout.symmetric)
        case "awq_gemm":
            return read_awq(name, arrays)
        case "packed_w4a16":
            return read_packed(name, arrays, symmetric=layout.symmetric)
        case "int_w8a8":
            return read_int8(name, arrays)
        case "modelopt_w4a16":
            return read_w4a16(name, arrays)
        case "modelopt_int8":
            return read_smooth_int8(name, arrays)


def _gptq(config: Mapping[str, Any]) -> Layout:
    bits, stored = config.get("bits"), str(config.get("checkpoint_format", "gptq"))
    if bits != 4 or stored not in ("gptq", "gptq_v2"):
        raise _unknown(f"GPTQ with {bits} bits in format {stored!r}")
    # "-:PATTERN" names modules that stay in float; anything else gives some a format of their own.
    if any(not pattern.startswith("-:") for pattern in config.get("dynamic") or {}):
        raise _unknown("GPTQ with per-module overrides ('dynamic')")
    kind: Kind = "gptq_v1" if stored == "gptq" else "gptq_v2"
    symmetric = _flag("GPTQ", "sym", config.get("sym", True))
    return Layout(kind, symmetric, _group("GPTQ", config.get("group_size", 128), stated=True))


def _awq(config: Mapping[str, Any]) -> Layout:
    bits, version = config.get("bits", config.get("w_bit")), str(config.get("version", "gemm"))
    if bits != 4 or version.lower() != "gemm":
        raise _unknown(f"AWQ with {bits} bits in version {version!r}")
    size = config.get("group_size", config.get("q_group_size", 0))
    return Layout("awq_gemm", False, _group("AWQ", size, stated=True))


def _compressed(config: Mapping[str, Any]) -> Layout:
    stated = config.get("config_groups") or {}
    groups = list(stated.values()) if isinstance(stated, Mapping) else []
    if len(groups) != 1 or not isinstance(groups[0], Mapping):
        raise _unknown(f"compressed-tensors with {len(groups)} config groups")
    weights, incoming = groups[0].get("weights") or {}, groups[0].get("input_activations")
    stored = str(groups[0].get("format") or config.get("format"))
    if groups[0].get("output_activations") is not None:
        raise _unknown(f"compressed-tensors {stored!r} with output_activations")
    known = weights.get("type") == "int" and weights.get("actorder") in _ORDERS
    if known and stored == "pack-quantized" and weights.get("num_bits") == 4 and incoming is None:
        return Layout(
            "packed_w4a16",
            _flag("compressed-tensors", "symmetric", weights.get("symmetric", True)),
            _group("compressed-tensors", weights.get("group_size")),
        )
    if known and stored == "int-quantized" and weights.get("num_bits") == 8 and _static(incoming):
        return Layout("int_w8a8")
    raise _unknown(
        f"compressed-tensors {stored!r} with weights {dict(weights)} and inputs {incoming}"
    )


def _static(incoming: Mapping[str, Any] | None) -> bool:
    """Inputs of 8 bits, one scale a tensor, measured ahead. What is not stated is the default."""
    if incoming is None or incoming.get("dynamic"):
        return False
    whole = incoming.get("type", "int") == "int" and incoming.get("num_bits", 8) == 8
    return (
        whole
        and incoming.get("strategy") in (None, "tensor")
        and bool(incoming.get("symmetric", True))
    )


def _group(method: str, size: object, *, stated: bool = False) -> int:
    """Rows a group; 0 for one over all rows, and where it need not be `stated` and is not."""
    if size is None and not stated:
        return 0
    if isinstance(size, bool) or not isinstance(size, int):
        raise _unknown(f"{method} with group_size {size!r}")
    return max(0, size)


def _flag(method: str, name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _unknown(f"{method} with {name} {value!r}")
    return value


def _unknown(what: str) -> ConfigWrong:
    return ConfigWrong(
        f"{what} is not a layout we know exactly",
        "known: GPTQ v1 and v2 (4 bit), AWQ gemm (4 bit), compressed-tensors pack-quantized W4A16 "
        "and static int-quantized W8A8, ModelOpt W4A16_AWQ and INT8_SQ",
        "use the float checkpoint and quantise it here",
    )
