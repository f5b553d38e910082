"""What goes back to float is what the features miss, not what looks worst by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from msgspec import structs
from onnx import TensorProto, helper, numpy_helper

from neon_edge.build.calibrate.moments import CalibrationSet
from neon_edge.build.quantise import sensitivity as module
from neon_edge.build.quantise.bundle import write_reports
from neon_edge.build.quantise.kept import Kept
from neon_edge.build.quantise.layers import Quantised, Report, quantise
from neon_edge.build.quantise.method import Method
from neon_edge.build.quantise.sensitivity import MOMENTS, measure_alone
from neon_edge.build.quantise.skip import Group, find_skip, groups_of, ranked
from neon_edge.build.verify_page import _alone, read_layers
from neon_edge.engine.manifest import BackboneManifest, Part, TensorSpec
from tests.tiny_backbone import Exported

ROWS, WIDTH, SAMPLES = 16, 64, 6


def two_ways(seed: int) -> onnx.ModelProto:
    """x ─┬ Relu ─ "loud" ─ · 0.0001 ┬─ Add ─ y: the first way's errors reach nobody.
    └ Tanh ─ "heard" ──────────┘"""
    chance = np.random.default_rng(seed)
    loud = chance.standard_normal((WIDTH, WIDTH)).astype(np.float32)
    loud[0] = 100  # Rounds badly: a row that nothing reaches sets the scale of all.
    tensors = {
        "Wl": loud,
        "Wh": chance.standard_normal((WIDTH, WIDTH)).astype(np.float32) / 8,
        "small": np.float32(1e-4),
    }
    steps = [
        ("Relu", ["x"], "a"), ("MatMul", ["a", "Wl"], "loud"), ("Mul", ["loud", "small"], "l"),
        ("Tanh", ["x"], "b"), ("MatMul", ["b", "Wh"], "heard"), ("Add", ["l", "heard"], "y"),
    ]  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node(op, given, [made], made) for op, given, made in steps],
        "ways",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, ROWS, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, ROWS, WIDTH])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()],
        value_info=[
            helper.make_tensor_value_info(made, TensorProto.FLOAT, [1, ROWS, WIDTH])
            for _, _, made in steps[:-1]
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return model


def pool() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["y", "axes"], ["pooled"], "pool", keepdims=0)],
        "pool",
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, ROWS, WIDTH])],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, [1, WIDTH])],
        [numpy_helper.from_array(np.array([1]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return model


class Bed:
    """Two parts, quantised, and how often the graphs behind a trial were run."""

    def __init__(self, tiny: Exported, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = place
        onnx.save(two_ways(0), place / "ways.onnx")
        onnx.save(pool(), place / "pool.onnx")
        x, y = TensorSpec("x", [1, ROWS, WIDTH]), TensorSpec("y", [1, ROWS, WIDTH])
        parts = [
            Part("ways", "ways.onnx", "", [x], [y]),
            Part("pool", "pool.onnx", "", [y], [TensorSpec("pooled", [1, WIDTH])]),
        ]
        self.backbone: BackboneManifest = structs.replace(tiny.manifest, parts=parts)
        chance = np.random.default_rng(1)
        fed = [{"x": chance.standard_normal((1, ROWS, WIDTH), np.float32)} for _ in range(SAMPLES)]
        for sample in fed:
            sample["x"][..., 0] = -1
        self.moments = CalibrationSet(
            (np.zeros((SAMPLES, 2, 2, 3), np.uint8),),
            ["go"] * SAMPLES,
            [str(number) for number in range(SAMPLES)],
            np.zeros((SAMPLES, 0), np.float32),
        )
        monkeypatch.setattr(
            module,
            "host_feeds",
            lambda _, __, moments: [dict(fed[int(name)]) for name in moments.names],
        )
        method = Method(rounding="nearest")
        kept = Kept(place / "kept", "ways")
        self.done = {
            "ways": quantise(two_ways(0), fed, "int4", kept, method=method),
            "pool": Quantised(Kept(place / "kept", "pool")),
        }
        self.reports = [replace(r, name=f"ways/{r.name}") for r in self.done["ways"].reports]
        self.ran: list[str] = []

    def measure(self, groups: list[Group], stop_at: int = 99) -> list[Group]:
        def tell(step: str) -> None:
            if len(self.ran) == stop_at:
                raise KeyboardInterrupt
            self.ran.append(step)

        return measure_alone(
            self.place, self.backbone, self.moments, self.done, groups, self.place / "kept", 1, tell
        )


@pytest.fixture
def bed(tiny: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bed:
    return Bed(tiny, tmp_path, monkeypatch)


def test_the_effect_on_features_ranks_what_its_own_error_does_not(bed: Bed) -> None:
    by_error = ranked(groups_of(bed.reports, 1e9))
    assert [group.names for group in by_error] == [("ways/loud",), ("ways/heard",)]
    measured = {group.names[0]: group.effect or 0 for group in bed.measure(by_error)}
    assert measured["ways/heard"] > 20 * measured["ways/loud"] > 0
    skip = find_skip(bed.reports, lambda names: "ways/heard" in names, limit=0.5,
                     measure=bed.measure)  # fmt: skip
    assert skip.passed and skip.names == ["ways/heard"] and skip.tried == 2


def test_nothing_is_measured_where_the_gate_passes_or_nothing_may_be_given_back(bed: Bed) -> None:
    assert find_skip(bed.reports, lambda _: True, measure=bed.measure).passed
    assert not find_skip(bed.reports, lambda _: False, limit=0.0, measure=bed.measure).passed
    assert bed.ran == []


def test_a_pass_that_was_interrupted_goes_on_with_what_it_has(bed: Bed) -> None:
    groups = groups_of(bed.reports, 1e9)
    with pytest.raises(KeyboardInterrupt):
        bed.measure(groups, stop_at=1)
    assert len(bed.ran) == 1
    again = bed.measure(groups)
    assert len(bed.ran) == 2 and len(set(bed.ran)) == 2
    assert bed.measure(groups) == again and len(bed.ran) == 2
    next((bed.place / "kept").glob("effects-*.json")).write_text("{cut")
    assert bed.measure(groups) == again and len(bed.ran) == 4


def test_the_effect_is_that_of_the_whole_graph_with_one_matrix_replaced(bed: Bed) -> None:
    from neon_edge.build.importers import dequantised
    from tests.build.quantise.graphs import run, with_matrices

    [heard] = [group for group in groups_of(bed.reports, 1e9) if "ways/heard" in group.names]
    [found] = bed.measure([heard])
    layer = bed.done["ways"].layers["heard"]
    assert dequantised(layer).shape == (WIDTH, WIDTH)
    lost = []
    for name in np.unique(np.linspace(0, SAMPLES - 1, MOMENTS).round().astype(int)):
        fed = module.host_feeds(None, None, replace(bed.moments, names=[str(name)]))[0]  # type: ignore[arg-type]
        one, other = (
            run(model, **fed)[0][0].mean(axis=0).astype(np.float64)
            for model in (two_ways(0), with_matrices(two_ways(0), {"heard": layer}))
        )
        lost.append(1 - one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    assert found.effect == pytest.approx(np.mean(lost), rel=1e-2)


def report(name: str, source: str, weights: int = 10, error: float = 0.1) -> Report:
    return Report(name, 8, weights, error, 1.0, 0, source=source)


def test_what_reads_one_input_goes_together_unless_it_is_too_much() -> None:
    reports = [
        report("decoder/q", "h", error=0.2), report("decoder/k", "h", error=0.3),
        report("vision/q", "h"), report("decoder/up", "i", 30), report("decoder/gate", "i", 30),
    ]  # fmt: skip
    groups = {group.names: group for group in groups_of(reports, 40)}
    assert list(groups) == [
        ("decoder/q", "decoder/k"), ("vision/q",), ("decoder/up",), ("decoder/gate",)
    ]  # fmt: skip
    assert groups["decoder/q", "decoder/k"].error == 0.3
    assert groups["decoder/q", "decoder/k"].weights == 20


def test_harm_is_counted_by_weight_and_no_number_is_the_worst() -> None:
    groups = [
        Group(("local",), 1, 9.0), Group(("large",), 100, 0.1, 0.02),
        Group(("small",), 10, 0.1, 0.01), Group(("broken",), 10, 0.1, float("nan")),
    ]  # fmt: skip
    names = [group.names[0] for group in ranked(groups)]
    assert names == ["broken", "small", "large", "local"]


def test_the_page_shows_what_was_measured(tmp_path: Path) -> None:
    reports = [report("decoder/q", "h"), report("decoder/up", "i")]
    write_reports(tmp_path, reports, ["frame 0"], ["decoder/q"], {"decoder/q": 0.00123})
    rows: dict[str, Any] = json.loads((tmp_path / "layers.json").read_text())
    assert rows["decoder/q"]["effect"] == 0.00123 and rows["decoder/up"]["effect"] is None
    shown = _alone(read_layers(tmp_path))
    assert "decoder/q" in shown and "0.0012" in shown and "in float" in shown
    assert "decoder/up" not in shown
    write_reports(tmp_path, reports, ["frame 0"], [], {})
    assert _alone(read_layers(tmp_path)) == ""
