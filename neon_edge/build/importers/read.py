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
_NEEDED: dict[Kind, tuple[str, ...]] = {
    "gptq_v1": ("qweight", "qzeros", "scales"),
    "gptq_v2": ("qweight", "qzeros", "scales"),
    "awq_gemm": ("qweight", "qzeros", "scales"),
    "packed_w4a16": ("weight_packed", "weight_scale", "weight_shape"),
    "int_w8a8": ("weight", "weight_scale"),
    "modelopt_w4a16": ("weight", "weight_scale"),
    "modelopt_int8": ("weight", "weight_scale", "input_scale"),
}


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
        return Layout("modelopt_w4a16", group=int(config.get("group_size") or 0))
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
    linear = _read(layout, name, arrays)
    if layout.group > 0 and linear.group != layout.group:
        raise refused(name, f"groups of {linear.group}, the checkpoint says {layout.group}")
    return linear


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
    return Layout(kind, bool(config.get("sym", True)), max(0, int(config.get("group_size", 128))))


def _awq(config: Mapping[str, Any]) -> Layout:
    bits, version = config.get("bits", config.get("w_bit")), str(config.get("version", "gemm"))
    if bits != 4 or version.lower() != "gemm":
        raise _unknown(f"AWQ with {bits} bits in version {version!r}")
    return Layout("awq_gemm", False, int(config.get("group_size", config.get("q_group_size", 0))))


def _compressed(config: Mapping[str, Any]) -> Layout:
    groups = list(config.get("config_groups", {}).values())
    if len(groups) != 1:
        raise _unknown(f"compressed-tensors with {len(groups)} config groups")
    weights, incoming = groups[0].get("weights") or {}, groups[0].get("input_activations")
    stored = str(groups[0].get("format") or config.get("format"))
    known = weights.get("type") == "int" and weights.get("actorder") in _ORDERS
    if known and stored == "pack-quantized" and weights.get("num_bits") == 4 and incoming is None:
        return Layout(
            "packed_w4a16",
            bool(weights.get("symmetric", True)),
            int(weights.get("group_size") or 0),
        )
    static = (
        incoming is not None and not incoming.get("dynamic") and incoming.get("symmetric", True)
    )
    if known and stored == "int-quantized" and weights.get("num_bits") == 8 and static:
        return Layout("int_w8a8")
    raise _unknown(
        f"compressed-tensors {stored!r} with weights {dict(weights)} and inputs {incoming}"
    )


def _unknown(what: str) -> ConfigWrong:
    return ConfigWrong(
        f"{what} is not a layout we know exactly",
        "known: GPTQ v1 and v2 (4 bit), AWQ gemm (4 bit), compressed-tensors pack-quantized W4A16 "
        "and static int-quantized W8A8, ModelOpt W4A16_AWQ and INT8_SQ",
        "use the float checkpoint and quantise it here",
    )
