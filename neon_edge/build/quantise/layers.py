"""A float graph and calibration samples → every Linear quantised, with what each one loses.

samples ─ Walk ─▶ x of each Linear ─▶ INT8: smoothing and range     INT4: GPTQ in groups
                                      (float network's activations)  (quantised network's)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from onnx import ModelProto

from neon_edge.build.importers import QuantisedLinear, dequantised
from neon_edge.build.quantise.gptq import GptqSettings, gptq
from neon_edge.build.quantise.kept import Kept
from neon_edge.build.quantise.linears import Linear, matrix_of
from neon_edge.build.quantise.round import group_for, round_groups
from neon_edge.build.quantise.smooth import quantise_int8, search
from neon_edge.build.quantise.walk import Stop, Walk
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32

Bits = Literal["int8", "int4"]
Tell = Callable[[str], None]

_ROWS = 256
_LARGEST = 16
_CHUNK = 4096
_HUGE = 1e30


@dataclass(frozen=True)
class Report:
    """One Linear: its part of the weights, and how far its input reaches on which sample."""

    name: str
    bits: int
    weights: int
    error: float
    """Mean over tokens of the product's squared error over its square, on calibration samples."""
    reach: float
    sample: int
    """Which sample set `reach`."""
    alpha: float = 0.0
    clip: float = 1.0


@dataclass
class Quantised:
    """What `place` needs, and what reports and skip-lists are made of."""

    layers: dict[str, QuantisedLinear] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)

    def without(self, names: Sequence[str]) -> dict[str, QuantisedLinear]:
        """Layers but those that stay in float."""
        return {name: layer for name, layer in self.layers.items() if name not in set(names)}


def quantise(
    model: ModelProto,
    samples: Sequence[Mapping[str, Float32]],
    bits: Bits,
    kept: Kept,
    *,
    threads: int = 1,
    seed: int = 0,
    method: Literal["best", "nearest"] = "best",
    tell: Tell = lambda _: None,
) -> Quantised:
    """Every Linear of `model`. Layers in `kept` are taken from there.

    `method` "nearest" rounds the float matrix, INT4 only: the yardstick. Raises `ConfigWrong`
    where samples hold what is not a number, or an input has no group.
    """
    walk = Walk(model, samples, threads)
    chance = np.random.default_rng(seed)
    done = Quantised()
    for stop in walk.stops():
        tell(f"{stop.linears[0].name} ({stop.number + 1} of {stop.total})")
        _check(stop)
        rows = _rows(stop, chance) if bits == "int8" else None
        _one_input(walk, stop, rows, bits, kept, method, done)
    return done


def _one_input(
    walk: Walk,
    stop: Stop,
    rows: Float32 | None,
    bits: Bits,
    kept: Kept,
    method: str,
    done: Quantised,
) -> None:
    found = {linear.name: kept.load(linear.name) for linear in stop.linears}
    if any(entry is None for entry in found.values()):
        matrices = [matrix_of(linear, walk.stored) for linear in stop.linears]
        made = _int4(stop, matrices, method) if rows is None else _int8(stop, rows, matrices)
        for linear, (layer, figures) in zip(stop.linears, made, strict=True):
            kept.save(linear.name, layer, figures)
            found[linear.name] = (layer, figures)
    reach, sample = _reach(stop)
    for linear in stop.linears:
        entry = found[linear.name]
        assert entry is not None
        layer, figures = entry
        done.layers[linear.name] = layer
        done.reports.append(_report(linear, layer, figures, reach, sample))
        if bits == "int4":
            walk.replace(linear, dequantised(layer))


Made = list[tuple[QuantisedLinear, dict[str, float]]]


def _int8(stop: Stop, rows: Float32, matrices: list[Float32]) -> Made:
    reach = np.max([np.abs(sample).max(axis=0) for sample in stop.samples], axis=0)
    best = search(rows, reach, matrices)
    figures = {"error": best.error, "alpha": best.alpha, "clip": best.clip}
    return [(quantise_int8(matrix, best), figures) for matrix in matrices]


def _int4(stop: Stop, matrices: list[Float32], method: str) -> Made:
    group = group_for(stop.linears[0].inputs)
    if method == "nearest":
        return [(round_groups(matrix, group), {"error": np.nan}) for matrix in matrices]
    hessian = second_moment(stop.samples)
    made: Made = []
    for matrix in matrices:
        layer = gptq(matrix, hessian, group, GptqSettings())
        made.append((layer, {"error": _relative(matrix, layer, hessian)}))
    return made


def second_moment(samples: Sequence[Float32]) -> torch.Tensor:
    """Mean of xᵀx over all tokens, (inputs, inputs), a few thousand tokens at a time."""
    width = samples[0].shape[1]
    total = torch.zeros(width, width)
    count = 0
    for sample in samples:
        for first in range(0, len(sample), _CHUNK):
            rows = torch.from_numpy(np.ascontiguousarray(sample[first : first + _CHUNK]))
            total.addmm_(rows.T, rows)
            count += len(rows)
    return total / count


def _relative(matrix: Float32, layer: QuantisedLinear, hessian: torch.Tensor) -> float:
    exact = torch.from_numpy(matrix)
    lost = exact - torch.from_numpy(dequantised(layer))
    return float(((hessian @ lost) * lost).sum() / ((hessian @ exact) * exact).sum())


def _rows(stop: Stop, chance: np.random.Generator) -> Float32:
    """Tokens to search on: the largest of all, which decide whether a range can be narrow, and a
    draw of the others."""
    tokens = np.concatenate(stop.samples)
    largest = np.argsort(-np.abs(tokens).max(axis=1))[:_LARGEST]
    drawn = chance.choice(len(tokens), min(_ROWS, len(tokens)), replace=False)
    chosen: Float32 = tokens[np.unique(np.concatenate([largest, drawn]))]
    return chosen


def _reach(stop: Stop) -> tuple[float, int]:
    tops = [float(np.abs(sample).max()) for sample in stop.samples]
    sample = int(np.argmax(tops))
    return tops[sample], sample


def _report(
    linear: Linear, layer: QuantisedLinear, figures: Mapping[str, float], reach: float, sample: int
) -> Report:
    return Report(
        linear.name,
        layer.bits,
        linear.weights,
        figures["error"],
        reach,
        sample,
        figures.get("alpha", 0.0),
        figures.get("clip", 1.0),
    )


def _check(stop: Stop) -> None:
    for number, sample in enumerate(stop.samples):
        if not np.abs(sample).max() < _HUGE:
            raise ConfigWrong(
                f"calibration sample {number} overflows in the float network",
                f"the input of {stop.linears[0].name} is not finite",
                "find it in the samples and leave it out",
            )
