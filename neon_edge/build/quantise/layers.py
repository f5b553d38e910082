"""A float graph and calibration samples → every Linear quantised, with what each one loses.

samples ─ Walk ─▶ x of each Linear ─▶ INT8: smoothing and range     INT4: GPTQ in groups
                                      (float network's activations)  (quantised network's)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto

from neon_edge.build.importers import QuantisedLinear, dequantised
from neon_edge.build.quantise.fold import foldable_sources
from neon_edge.build.quantise.kept import Kept
from neon_edge.build.quantise.linears import Linear, matrix_of
from neon_edge.build.quantise.method import Bits, Method, make_int4, make_int8
from neon_edge.build.quantise.onnx_types import least_scale
from neon_edge.build.quantise.tokens import drawn_rows
from neon_edge.build.quantise.walk import Stop, Walk
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32

Tell = Callable[[str], None]

_ROWS, _LARGEST = 256, 16
"""Tokens to search on: a draw of all, and the largest, which decide if a range can be narrow."""
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
    source: str = ""
    """The tensor that it multiplies."""


@dataclass
class Quantised:
    """What `place` needs, and what reports and skip-lists are made of.

    Layers stay on the disk where they are kept, so that one part is in memory at a time.
    """

    kept: Kept
    reports: list[Report] = field(default_factory=list)
    held: dict[str, QuantisedLinear] = field(default_factory=dict)

    @property
    def layers(self) -> dict[str, QuantisedLinear]:
        """All of them."""
        return self.without(())

    def without(self, names: Sequence[str]) -> dict[str, QuantisedLinear]:
        """Layers but those that stay in float."""
        left = set(names)
        return {
            report.name: self._layer(report.name)
            for report in self.reports
            if report.name not in left
        }

    def _layer(self, name: str) -> QuantisedLinear:
        if name in self.held:
            return self.held[name]
        entry = self.kept.load(name)
        if entry is None:
            raise ConfigWrong(
                f"quantised layer {name!r} is no longer on the disk",
                f"it was written to {self.kept.directory}",
                "run the same command again",
            )
        return entry[0]


def quantise(
    model: ModelProto,
    samples: Sequence[Mapping[str, Float32]],
    bits: Bits,
    kept: Kept,
    *,
    threads: int = 1,
    seed: int = 0,
    method: Method | None = None,
    tell: Tell = lambda _: None,
) -> Quantised:
    """Every Linear of `model`. Layers in `kept` are taken from there.

    Raises `ConfigWrong` where samples hold what is not a number.
    """
    walk = Walk(model, samples, threads, kept.directory)
    free = foldable_sources(model)
    done = Quantised(kept)
    for stop in walk.stops():
        tell(f"{stop.linears[0].name} ({stop.number + 1} of {stop.total})")
        reach, sample = _reach(stop)
        foldable = stop.linears[0].source in free
        made = _one_input(walk, stop, seed, bits, kept, method or Method(), foldable)
        for linear, (layer, figures) in made:
            if kept.directory is None:
                done.held[linear.name] = layer
            done.reports.append(_report(linear, layer, figures, reach, sample))
            if bits == "int4":
                walk.replace(linear, dequantised(layer))
    return done


Found = list[tuple[Linear, tuple[QuantisedLinear, dict[str, float]]]]


def _one_input(
    walk: Walk,
    stop: Stop,
    seed: int,
    bits: Bits,
    kept: Kept,
    method: Method,
    foldable: bool,
) -> Found:
    """Everything behind one input, each format by itself."""
    found = {linear.name: kept.load(linear.name) for linear in stop.linears}
    for wanted in ("int8", "int4"):
        linears = [linear for linear in stop.linears if method.bits_of(linear, bits) == wanted]
        if all(found[linear.name] is not None for linear in linears):
            continue
        matrices = [matrix_of(linear, walk.stored) for linear in linears]
        least = least_scale(linears[0].dtype)
        if wanted == "int8":
            # Of its own seed, so that a run taken up again draws what it would have drawn.
            chance = np.random.default_rng([seed, stop.number])
            rows = drawn_rows(stop.samples, _LARGEST, _ROWS, chance)
            made = make_int8(stop.samples, rows, matrices, method, least)
        else:
            made = make_int4(
                stop.samples,
                matrices,
                method,
                foldable=foldable and len(linears) == len(stop.linears),
                least=least,
            )
        for linear, (layer, figures) in zip(linears, made, strict=True):
            kept.save(linear.name, layer, figures)
            found[linear.name] = (layer, figures)
    return [(linear, entry) for linear in stop.linears if (entry := found[linear.name]) is not None]


def _reach(stop: Stop) -> tuple[float, int]:
    """The largest magnitude, which must be a number, and the sample that has it."""
    tops = [float(np.abs(sample).max()) for sample in stop.samples]
    for number, top in enumerate(tops):
        if not top < _HUGE:
            raise ConfigWrong(
                f"calibration sample {number} overflows in the float network",
                f"the input of {stop.linears[0].name} is not finite",
                "find it in the samples and leave it out",
            )
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
        linear.source,
    )
