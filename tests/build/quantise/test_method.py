"""AWQ's factors, the observers' ranges, and what a recipe may choose between."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from neon_edge.build.importers import dequantised
from neon_edge.build.quantise.awq import search_scales
from neon_edge.build.quantise.fold import foldable_sources
from neon_edge.build.quantise.kept import Kept
from neon_edge.build.quantise.layers import quantise
from neon_edge.build.quantise.linears import find_linears
from neon_edge.build.quantise.method import Method, make_int4, make_int8
from neon_edge.build.quantise.observers import observed
from neon_edge.build.quantise.place import place
from neon_edge.types import Float32
from tests.build.quantise.graphs import WIDTH, run, two_linears
from tests.build.quantise.test_fold import INNER, TOKENS, count, gated
from tests.build.quantise.test_fold import WIDTH as NORMED


def loud(seed: int = 0, channels: int = 4) -> tuple[Float32, Float32]:
    """Tokens of which a few channels are far louder than the rest, and a matrix."""
    chance = np.random.default_rng(seed)
    x = chance.standard_normal((400, 128)).astype(np.float32)
    x[:, :channels] *= 40
    return x, chance.standard_normal((128, 48)).astype(np.float32)


def lost(x: Float32, matrix: Float32, layer) -> float:
    return float(np.square(x @ (dequantised(layer) - matrix)).sum())


def test_awq_spends_its_codes_on_what_is_loud() -> None:
    x, matrix = loud()
    factors, alpha = search_scales([x], x, [matrix], 64)
    assert alpha > 0 and factors is not None
    assert factors[:4].min() > factors[4:].max()
    found = {}
    for rounding in ("nearest", "awq", "awq+gptq"):
        [(layer, figures)] = make_int4([x], [matrix], Method(rounding=rounding), foldable=True)
        found[rounding] = lost(x, matrix, layer)
        assert (layer.input_scale is None) == (rounding == "nearest")
        exact = float(np.square(x @ matrix).sum())
        assert figures["error"] == pytest.approx(found[rounding] / exact, rel=1e-3)
    assert found["awq"] < 0.5 * found["nearest"]
    assert found["awq+gptq"] < found["awq"]


def test_factors_that_would_cost_a_product_are_not_taken() -> None:
    x, matrix = loud()
    [(layer, figures)] = make_int4([x], [matrix], Method(rounding="awq"), foldable=False)
    assert layer.input_scale is None and figures["alpha"] == 0


def halves_between(model: onnx.ModelProto) -> onnx.ModelProto:
    """As half-precision exports are: float32 but for the products, with casts on both sides."""
    nodes, widths = [], {"h": NORMED, "i": INNER, "g": INNER, "u": INNER, "d": NORMED}
    half: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type != "MatMul":
            nodes.append(node)
            continue
        source, made = node.input[0], node.output[0]
        if source not in half:
            half[source] = f"{source}_half"
            nodes.append(helper.make_node("Cast", [source], [half[source]], to=10))
        product = helper.make_node(
            "MatMul", [half[source], node.input[1]], [f"{made}_half"], node.name
        )
        nodes += [product, helper.make_node("Cast", [f"{made}_half"], [made], to=1)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for name, width in widths.items():
        shape = [1, TOKENS, width]
        model.graph.value_info.append(
            helper.make_tensor_value_info(f"{name}_half", TensorProto.FLOAT16, shape)
        )
    for tensor in model.graph.initializer:
        if tensor.name.startswith("W"):
            values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    return model


@pytest.mark.parametrize("half", [False, True])
def test_awq_costs_no_product_in_either_precision(half: bool) -> None:
    def model() -> onnx.ModelProto:
        return halves_between(gated()) if half else gated()

    sources = {linear.source for linear in find_linears(model())}
    assert foldable_sources(model()) == sources and len(sources) == 2
    chance = np.random.default_rng(3)
    samples = [{"x": chance.standard_normal((1, TOKENS, NORMED)).astype(np.float32)}
               for _ in range(3)]  # fmt: skip
    for sample in samples:
        sample["x"][..., :3] *= 30
    done = quantise(model(), samples, "int4", Kept(None, ""), method=Method(rounding="awq"))
    assert any(layer.input_scale is not None for layer in done.layers.values())
    placed = place(model(), done.layers)
    assert count(placed, "Mul") == count(model(), "Mul")
    wanted = run(model(), **samples[0])[0]
    error = np.abs(run(placed, **samples[0])[0] - wanted).max() / np.abs(wanted).max()
    assert error < 0.1


def test_ranges_end_where_their_observers_say() -> None:
    chance = np.random.default_rng(1)
    x = chance.standard_normal((2000, WIDTH)).astype(np.float32)
    x[7, 3] = 500
    top = observed([x], "max")
    within = observed([x], "percentile")
    assert top == 500
    assert within == pytest.approx(np.percentile(np.abs(x), 99.99), rel=1e-6)
    assert 2 < observed([x], "entropy") < 100
    flat = chance.uniform(-1, 1, (2000, WIDTH)).astype(np.float32)
    assert observed([flat], "entropy") > 0.9
    assert observed([np.zeros((4, 4), np.float32)], "entropy") > 0


@pytest.mark.parametrize("ranges", ["max", "percentile", "entropy"])
def test_an_observer_sets_the_scale_and_the_search_is_no_worse(ranges: str) -> None:
    x, matrix = loud(2)
    x[5, 9] = 3000
    [(layer, figures)] = make_int8([x], x, [matrix], Method(ranges=ranges))
    assert layer.activation_scale == pytest.approx(observed([x], ranges) / 127, rel=1e-5)
    assert layer.input_scale is None
    [(_, searched)] = make_int8([x], x, [matrix], Method())
    assert searched["error"] <= figures["error"]


def test_a_method_is_part_of_what_layers_are_kept_by() -> None:
    model, chance = two_linears(), np.random.default_rng(0)
    samples = [{"embeds": chance.standard_normal((24, WIDTH)).astype(np.float32)}] * 2
    mixed = quantise(model, samples, "int4", Kept(None, ""), method=Method(int8=("second",)))
    assert {name: layer.bits for name, layer in mixed.layers.items()} == {"first": 4, "second": 8}
    assert repr(Method(int8=("second",))) != repr(Method())
