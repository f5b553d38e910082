"""A quantised checkpoint's own codes → the graphs that were exported from what they stand for.

    checkpoint ─ dequantise ─▶ export ─▶ float graph ─┐
        └─ codes, scales ─────────────────────────────┴─▶ Q/DQ, nothing rounded twice

Linears are found by their numbers and not by names: a column of a graph's matrix is that of the one
published row which dequantises to it. So a fused qkv that the export splits, or a head dimension
that it permutes, needs no table, and what is placed is what was exported, bit for bit.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from msgspec import structs
from onnx import helper

from neon_edge.build.importers import QuantisedCheckpoint, QuantisedLinear
from neon_edge.build.placed import PART, put
from neon_edge.build.quantise.linears import find_linears, matrix_of
from neon_edge.build.quantise.method import Bits
from neon_edge.build.quantise.written import write_placed
from neon_edge.build.recipe import Quantise
from neon_edge.engine.manifest import Manifest, Part, read_manifest
from neon_edge.errors import ConfigWrong

Place = tuple[str, int]
"""A published module and one of its outputs."""


def place_published(
    bundle: Path,
    checkpoint: QuantisedCheckpoint,
    modules: Sequence[str],
    settings: Quantise,
    target: Path,
    tell: Callable[[str], None],
) -> Manifest:
    """Write `target`: `bundle`, exported from `checkpoint`, with every one of `modules` in place.

    4-bit weights are what the float graphs multiply by, so their gates stay the recipe's; W8A8
    rounds activations too and is held to `settings`. Raises `ConfigWrong` where a module is
    nowhere in the graphs.
    """
    manifest = read_manifest(bundle)
    found: set[str] = set()
    rows: dict[int, dict[bytes, list[Place]]] = {}

    def layers_of(part: Part, model: onnx.ModelProto) -> dict[str, QuantisedLinear]:
        linears = find_linears(model)
        stored = {tensor.name: tensor for tensor in model.graph.initializer}
        layers = {}
        for linear in linears:
            if linear.dtype not in rows:
                rows[linear.dtype] = _rows(checkpoint, modules, linear.dtype)
            matrix = matrix_of(linear, stored)
            named = _columns(_cast(matrix, linear.dtype), rows[linear.dtype])
            if named is not None:
                found.add(named[0])
                layers[linear.name] = _chosen(checkpoint.layer(named[0]), named[1])
        tell(f"{part.name}: {len(layers)} of {len(linears)} Linears as published")
        return layers

    partial = target.with_name(target.name + PART)
    write_placed(bundle, _stated(manifest, checkpoint, settings), layers_of, partial)
    lost = sorted(set(modules) - found)
    if lost:
        shutil.rmtree(partial)
        raise ConfigWrong(
            f"quantised layer {lost[0]!r} is not in the graphs as it was published",
            f"{len(lost)} of {len(modules)} layers: the export changes their numbers",
            "use the float checkpoint and quantise it here",
        )
    put(partial, target)
    return read_manifest(target)


def _stated(manifest: Manifest, checkpoint: QuantisedCheckpoint, settings: Quantise) -> Manifest:
    bits: Bits = "int8" if checkpoint.layout.kind in ("int_w8a8", "modelopt_int8") else "int4"
    limits = manifest.verification
    if bits == "int8":
        limits = settings.limits(limits)
    backbone = structs.replace(manifest.backbone, quantised=bits)
    return structs.replace(manifest, backbone=backbone, verification=limits)


def _rows(
    checkpoint: QuantisedCheckpoint, modules: Sequence[str], dtype: int
) -> dict[bytes, list[Place]]:
    """Every published output by what it dequantises to, rounded to `dtype` as the export does."""
    rows: dict[bytes, list[Place]] = {}
    for module in modules:
        for number, key in enumerate(_keys(_cast(checkpoint.weight(module).T, dtype))):
            rows.setdefault(key, []).append((module, number))
    return rows


def _columns(
    matrix: npt.NDArray[Any], rows: dict[bytes, list[Place]]
) -> tuple[str, npt.NDArray[np.int64]] | None:
    """The module that holds every column of `matrix`, and where; None if no one module does."""
    places = [rows.get(key, []) for key in _keys(matrix)]
    shared = set.intersection(*({module for module, _ in place} for place in places))
    if not shared:
        return None
    module = min(shared)
    numbers = [_nearest(place, module, number) for number, place in enumerate(places)]
    return module, np.array(numbers)


def _nearest(places: list[Place], module: str, number: int) -> int:
    """Of equal columns, such as those of zeros, the one that keeps its place."""
    return min((n for name, n in places if name == module), key=lambda n: abs(n - number))


def _chosen(layer: QuantisedLinear, columns: npt.NDArray[np.int64]) -> QuantisedLinear:
    if np.array_equal(columns, np.arange(layer.codes.shape[1])):
        return layer
    return replace(
        layer,
        codes=np.ascontiguousarray(layer.codes[:, columns]),
        scales=np.ascontiguousarray(layer.scales[:, columns]),
        zeros=None if layer.zeros is None else np.ascontiguousarray(layer.zeros[:, columns]),
    )


def _cast(matrix: npt.NDArray[Any], dtype: int) -> npt.NDArray[Any]:
    return np.asarray(matrix, np.float32).astype(helper.tensor_dtype_to_np_dtype(dtype))


def _keys(matrix: npt.NDArray[Any]) -> Iterator[bytes]:
    for row in np.ascontiguousarray(matrix.T + matrix.dtype.type(0)):  # -0 is 0
        yield hashlib.blake2b(row.tobytes(), digest_size=16).digest()
