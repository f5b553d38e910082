"""Placed Q/DQ computes what the layer says, in TensorRT's form and in the CPU's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from neon_edge.build.cpu.form import cpu_form
from neon_edge.build.importers import QuantisedLinear
from neon_edge.build.quantise.fold import fold_scales
from neon_edge.build.quantise.kept import Kept
from neon_edge.build.quantise.layers import quantise
from neon_edge.build.quantise.linears import find_linears, matrix_of
from neon_edge.build.quantise.lint import find_wrong, lint
from neon_edge.build.quantise.method import Bits, Method, Ranges, Rounding
from neon_edge.build.quantise.place import place
from neon_edge.build.quantise.round import group_for, round_groups, round_int8
from neon_edge.engine.rtx import compile_rtx
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32
from tests.build.quantise.graphs import TOKENS, WIDTH, halved, run, two_linears, with_matrices
from tests.build.quantise.test_fold import INNER, gated, smoothed


@pytest.fixture
def embeds() -> Float32:
    return np.random.default_rng(1).standard_normal((TOKENS, WIDTH), np.float32)


def rounded(bits: int, group: int = 32) -> dict[str, QuantisedLinear]:
    model = two_linears()
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    matrices = {linear.name: matrix_of(linear, stored) for linear in find_linears(model)}
    return {
        name: round_int8(matrix) if bits == 8 else round_groups(matrix, group)
        for name, matrix in matrices.items()
    }


def close(found: Float32, wanted: Float32) -> bool:
    return bool(np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("cpu", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_weights_only_is_the_matrix_written_out(embeds: Float32, bits: int, cpu: bool) -> None:
    layers = rounded(bits)
    placed = place(two_linears(), layers)
    onnx.checker.check_model(placed, full_check=True)
    lint(placed)
    if cpu:
        placed = cpu_form(placed)
    wanted = run(with_matrices(two_linears(), layers), embeds=embeds)[0]
    assert close(run(placed, embeds=embeds)[0], wanted)


@pytest.mark.parametrize("cpu", [False, True])
def test_asymmetric_permuted_and_scaled_layers_are_exact(embeds: Float32, cpu: bool) -> None:
    chance = np.random.default_rng(2)
    layers = {
        name: replace(
            layer,
            zeros=chance.integers(-8, 8, layer.scales.shape).astype(np.int16),
            order=chance.permutation(len(layer.codes)),
            input_scale=chance.uniform(0.5, 2, len(layer.codes)).astype(np.float32),
        )
        for name, layer in rounded(4).items()
    }
    placed = place(two_linears(), layers)
    onnx.checker.check_model(placed, full_check=True)
    lint(placed)
    if cpu:
        placed = cpu_form(placed)
    wanted = run(with_matrices(two_linears(), layers), embeds=embeds)[0]
    assert close(run(placed, embeds=embeds)[0], wanted)


def test_activations_are_rounded_on_one_grid_in_both_forms(embeds: Float32) -> None:
    model = two_linears()
    layers = {"first": replace(rounded(8)["first"], activation_scale=0.03)}
    gain = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}["gain"]
    codes = np.clip(np.rint(embeds * gain / np.float32(0.03)), -128, 127)
    rounded_input = (codes * np.float32(0.03) / gain).astype(np.float32)
    wanted = run(with_matrices(two_linears(), layers), embeds=rounded_input)[0]
    for form in (place(two_linears(), layers), cpu_form(place(two_linears(), layers))):
        found = run(form, embeds=embeds)[0]
        assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_a_layer_that_the_graph_lacks_is_refused() -> None:
    with pytest.raises(ConfigWrong, match="third"):
        place(two_linears(), {"third": rounded(4)["first"]})


def test_groups_divide_the_inputs() -> None:
    assert [group_for(width) for width in (2048, 576, 96)] == [128, 64, 32]
    with pytest.raises(ConfigWrong, match="100 inputs"):
        group_for(100)


@pytest.mark.parametrize("bits", [4, 8])
def test_tensorrt_takes_every_form_of_a_layer(tmp_path: Path, bits: int) -> None:
    layers = rounded(bits)
    if bits == 8:
        layers = {n: replace(layer, activation_scale=0.05) for n, layer in layers.items()}
    else:
        zeros = np.ones(layers["first"].scales.shape, np.int16)
        layers["first"] = replace(layers["first"], zeros=zeros, order=np.arange(WIDTH)[::-1].copy())
    graph = tmp_path / "graph.onnx"
    onnx.save(place(two_linears(), layers), graph)
    compile_rtx(graph, tmp_path / "plan")
    assert (tmp_path / "plan").stat().st_size > 0


@pytest.mark.parametrize("bits", [4, 8])
def test_a_half_precision_graph_gets_half_precision_scales(tmp_path: Path, bits: int) -> None:
    layers = rounded(bits)
    if bits == 8:
        layers = {n: replace(layer, activation_scale=0.05) for n, layer in layers.items()}
    else:
        zeros = np.ones(layers["first"].scales.shape, np.int16)
        layers["first"] = replace(layers["first"], zeros=zeros)
    placed = place(halved(two_linears()), layers)
    lint(placed)
    onnx.checker.check_model(placed, full_check=True)
    halves = [t for t in placed.graph.initializer if t.name.endswith((".scales", ".x_scale"))]
    assert halves and all(t.data_type == onnx.TensorProto.FLOAT16 for t in halves)
    onnx.save(placed, tmp_path / "graph.onnx")
    compile_rtx(tmp_path / "graph.onnx", tmp_path / "plan")


@pytest.mark.parametrize("ranges", ["search", "max"])
@pytest.mark.parametrize("rounding", ["gptq", "awq+gptq", "nearest"])
@pytest.mark.parametrize("bits", ["int8", "int4"])
def test_dead_weights_of_a_half_precision_graph_are_no_mistake_of_the_build(
    bits: Bits, rounding: Rounding, ranges: Ranges
) -> None:
    def model() -> onnx.ModelProto:
        made = two_linears()
        first = next(tensor for tensor in made.graph.initializer if tensor.name == "W1")
        matrix = onnx.numpy_helper.to_array(first).copy()
        matrix[:, 3] = 0
        matrix[:32, 4] = 0
        matrix[:, 5] *= 1e-4
        first.CopyFrom(onnx.numpy_helper.from_array(matrix, "W1"))
        return halved(made)

    chance = np.random.default_rng(5)
    feeds = [{"embeds": chance.standard_normal((TOKENS, WIDTH)).astype(np.float16)}
             for _ in range(3)]  # fmt: skip
    method = Method(rounding=rounding, ranges=ranges)
    done = quantise(model(), feeds, bits, Kept(None, ""), method=method)
    placed = place(model(), done.layers)
    lint(placed)
    scales = {t.name: onnx.numpy_helper.to_array(t) for t in placed.graph.initializer}
    found = scales["first.scales"].reshape(-1, 96)
    assert (found[:, 3] == 1).all()
    assert found.min() >= np.finfo(np.float16).smallest_normal
    wanted, got = (run(form, embeds=feeds[0]["embeds"])[0] for form in (model(), placed))
    assert np.abs(got - wanted).max() < 0.25 * np.abs(wanted).max()


def test_a_factor_that_half_precision_cannot_take_over_stays_a_product() -> None:
    factor = np.full(INNER, 1e-3, np.float32)
    for dtype, left in ((onnx.TensorProto.FLOAT, False), (onnx.TensorProto.FLOAT16, True)):
        model = gated()
        for tensor in model.graph.initializer:
            if tensor.name.startswith("W"):
                values = onnx.numpy_helper.to_array(tensor)
                half = values.astype(onnx.helper.tensor_dtype_to_np_dtype(dtype))
                tensor.CopyFrom(onnx.numpy_helper.from_array(half, tensor.name))
        folded = fold_scales(model, {n: replace(layer, input_scale=factor if n == "d" else None)
                                     for n, layer in smoothed().items()})  # fmt: skip
        assert (folded["d"].input_scale is not None) == left


def test_lint_refuses_what_orin_cannot_compile_or_bear() -> None:
    placed = place(
        two_linears(),
        {n: replace(layer, activation_scale=0.05) for n, layer in rounded(8).items()},
    )
    assert find_wrong(placed) == []

    mixed = onnx.ModelProto.FromString(placed.SerializeToString())
    scale = next(t for t in mixed.graph.initializer if t.name == "first.x_scale")
    half = onnx.numpy_helper.to_array(scale).astype(np.float16)
    scale.CopyFrom(onnx.numpy_helper.from_array(half, scale.name))
    assert any("4832" in line or "operands" in line for line in find_wrong(mixed))

    zero = cpu_form(onnx.ModelProto.FromString(placed.SerializeToString()))
    assert any("zero point" in line for line in find_wrong(zero))


@pytest.mark.parametrize("stated", [False, True])
def test_lint_refuses_half_scales_of_weights_beside_wide_activations(stated: bool) -> None:
    placed = place(two_linears(), rounded(4))
    assert find_wrong(placed) == []
    for tensor in placed.graph.initializer:
        if tensor.name == "first.scales":
            half = onnx.numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, tensor.name))
    if not stated:
        del placed.graph.value_info[:]
    assert any("first: its operands" in line and "4832" in line for line in find_wrong(placed))


@pytest.mark.parametrize("op", ["Gather", "Reshape", "Transpose"])
def test_lint_refuses_a_copy_between_the_grid_and_a_softmax(op: str) -> None:
    placed = place(two_linears(), {"first": replace(rounded(8)["first"], activation_scale=0.05)})
    order = onnx.numpy_helper.from_array(np.arange(WIDTH), "order")
    placed.graph.initializer.append(order)
    more = {"Gather": ["order"], "Reshape": ["order"], "Transpose": []}[op]
    copy = onnx.helper.make_node(op, ["first.xdq", *more], ["copied"], "copy")
    softmax = onnx.helper.make_node("Softmax", ["copied"], ["wrong"], "softmax")
    placed.graph.node.extend([copy, softmax])
    assert any(f"{op} copy is fed by" in line for line in find_wrong(placed))


@pytest.mark.parametrize("op", ["Add", "Softmax", "MatMul", "ReduceMean"])
def test_lint_refuses_a_quantised_residual_norm_softmax_or_attention_product(op: str) -> None:
    placed = place(two_linears(), {"first": replace(rounded(8)["first"], activation_scale=0.05)})
    inputs = ["first.xdq", "x"] if op in ("Add", "MatMul") else ["first.xdq"]
    placed.graph.node.append(onnx.helper.make_node(op, inputs, ["wrong"], "residual"))
    with pytest.raises(ConfigWrong) as refusal:
        lint(placed)
    assert "residual" in refusal.value.facts


def handing_on() -> onnx.ModelProto:
    """One of whose outputs is a constant."""
    model = two_linears()
    gain = onnx.helper.make_tensor_value_info("gain", onnx.TensorProto.FLOAT, [WIDTH])
    model.graph.output.append(gain)
    return model


def test_an_output_that_no_node_makes_stays_one(embeds: Float32) -> None:
    """TRIBE's first parts hand on sums that none of their layers adds to: a constant."""
    wanted = run(handing_on(), embeds=embeds)[1]
    for form in (place(handing_on(), rounded(4)), cpu_form(place(handing_on(), rounded(4)))):
        assert (run(form, embeds=embeds)[1] == wanted).all()
