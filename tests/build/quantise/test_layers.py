"""Quantisers against rounding to nearest, the walk against the whole graph, and a real backbone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neon_edge.build.cpu.form import cpu_form
from neon_edge.build.importers import dequantised
from neon_edge.build.quantise.gptq import GptqSettings, gptq, prepared
from neon_edge.build.quantise.kept import Kept
from neon_edge.build.quantise.layers import Report, quantise
from neon_edge.build.quantise.linears import find_linears
from neon_edge.build.quantise.lint import lint
from neon_edge.build.quantise.method import Method, second_moment
from neon_edge.build.quantise.place import place
from neon_edge.build.quantise.round import round_groups, round_int8
from neon_edge.build.quantise.skip import find_skip
from neon_edge.build.quantise.smooth import quantise_int8, search
from neon_edge.build.quantise.walk import Walk
from neon_edge.engine.rtx import compile_rtx
from neon_edge.errors import ConfigWrong
from tests.build.quantise.graphs import TOKENS, WIDTH, run, two_linears, with_matrices
from tests.tiny_backbone import Exported


def samples(count: int = 4, seed: int = 3) -> list[dict[str, np.ndarray]]:
    chance = np.random.default_rng(seed)
    mixing = chance.standard_normal((WIDTH, WIDTH)).astype(np.float32) / 8
    return [
        {"embeds": chance.standard_normal((TOKENS, WIDTH), np.float32) @ mixing}
        for _ in range(count)
    ]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_gptq_loses_less_than_rounding_on_the_inputs_it_saw(seed: int) -> None:
    chance = np.random.default_rng(seed)
    mixing = chance.standard_normal((WIDTH, WIDTH))
    x = (chance.standard_normal((256, WIDTH)) @ mixing).astype(np.float32)
    matrix = chance.standard_normal((WIDTH, 40)).astype(np.float32)
    best = gptq(matrix, prepared(second_moment([x]), GptqSettings()), 32, GptqSettings())
    plain = round_groups(matrix, 32)
    lost = [np.square(x @ (dequantised(layer) - matrix)).sum() for layer in (best, plain)]
    assert lost[0] < 0.7 * lost[1]
    assert best.codes.min() >= -8 and best.codes.max() <= 7


def as_published(
    matrix: np.ndarray, hessian: np.ndarray, scales: np.ndarray, order: np.ndarray, damping: float
) -> np.ndarray:
    """GPTQ as its paper writes it (algorithm 1): the inverse, its upper root, one row at a time."""
    damped = hessian[np.ix_(order, order)] + damping * np.diag(hessian).mean() * np.eye(len(order))
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    rest, codes = matrix[order].astype(np.float64), np.empty(matrix.shape)
    for row, placed_at in enumerate(order):
        codes[placed_at] = np.clip(np.rint(rest[row] / scales[placed_at]), -8, 7)
        error = (rest[row] - codes[placed_at] * scales[placed_at]) / upper[row, row]
        rest[row:] -= upper[row, row:, None] * error
    return codes


def test_codes_are_those_of_gptq_as_published() -> None:
    chance = np.random.default_rng(7)
    x = chance.standard_normal((900, 384)).astype(np.float32) * np.linspace(0.2, 3, 384)
    x = (x @ chance.standard_normal((384, 384)) / 8).astype(np.float32)
    matrix = chance.standard_normal((384, 40)).astype(np.float32)
    hessian, chosen = second_moment([x]), GptqSettings()
    layer = gptq(matrix, prepared(hessian, chosen), 64, chosen)
    order = np.argsort(-np.diag(hessian.numpy()))
    scales = layer.scales.repeat(64, axis=0)
    wanted = as_published(matrix, hessian.double().numpy(), scales, order, chosen.damping)
    # Ties of rounding fall either way in float32 and float64.
    assert (layer.codes != wanted).mean() < 0.002


def test_inputs_that_are_always_zero_do_no_harm() -> None:
    x = np.random.default_rng(0).standard_normal((64, WIDTH)).astype(np.float32)
    x[:, ::3] = 0
    matrix = np.random.default_rng(1).standard_normal((WIDTH, 40)).astype(np.float32)
    layer = gptq(matrix, prepared(second_moment([x]), GptqSettings()), 32, GptqSettings())
    assert np.isfinite(dequantised(layer)).all()


def test_smoothing_saves_the_channels_beside_a_loud_one() -> None:
    chance = np.random.default_rng(0)
    x = chance.standard_normal((128, WIDTH)).astype(np.float32)
    x[:, 5] *= 100
    matrix = chance.standard_normal((WIDTH, 48)).astype(np.float32)
    reach = np.abs(x).max(axis=0)
    found = search(x, reach, [matrix])
    assert found.alpha > 0

    def lost(layer, scale: float, factors: np.ndarray | float) -> float:
        plain = replace(layer, input_scale=None)
        codes = np.clip(np.rint(x * factors / scale), -128, 127) * scale
        return float(np.square(codes @ dequantised(plain) - x @ matrix).sum())

    smooth = quantise_int8(matrix, found)
    assert smooth.input_scale is not None
    ours = lost(smooth, found.activation_scale, smooth.input_scale)
    assert ours < lost(round_int8(matrix), float(reach.max()) / 127, 1.0) / 4


def test_the_walk_sees_what_the_whole_graph_computes() -> None:
    model, feeds = two_linears(), samples()
    walk = Walk(model, feeds)
    seen = {stop.linears[0].name: list(stop.samples) for stop in walk.stops()}
    assert list(seen) == ["first", "second"]
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for number, feed in enumerate(feeds):
        x = feed["embeds"] * stored["gain"]
        np.testing.assert_allclose(seen["first"][number], x, rtol=1e-6)
        hidden = np.maximum(x @ stored["W1"], 0)
        np.testing.assert_allclose(seen["second"][number], hidden, rtol=1e-4, atol=1e-5)
        whole = run(two_linears(), **feed)[0]
        np.testing.assert_allclose(walk.results()[number]["out"], whole, rtol=1e-4, atol=1e-5)


def test_later_stages_of_the_walk_see_the_replaced_matrix() -> None:
    walk = Walk(two_linears(), samples(1))
    seen = []
    for stop in walk.stops():
        seen.append(stop.samples[0])
        for linear in stop.linears:
            walk.replace(linear, np.zeros((linear.inputs, linear.outputs), np.float32))
    assert (seen[1] == 0).all()


@pytest.mark.parametrize("bits", ["int8", "int4"])
def test_what_is_kept_is_taken_up_again(tmp_path: Path, bits) -> None:
    kept = Kept(tmp_path, "key")
    whole = quantise(two_linears(), samples(), bits, kept)
    (tmp_path / "key" / "second.npz").write_bytes(b"cut short")
    again = quantise(two_linears(), samples(), bits, Kept(tmp_path, "key"))
    assert again.reports == whole.reports
    for name, layer in whole.layers.items():
        assert (again.layers[name].codes == layer.codes).all()
        assert (again.layers[name].scales == layer.scales).all()
        assert again.layers[name].activation_scale == layer.activation_scale


def test_int4_in_sequence_ends_nearer_than_rounding() -> None:
    feeds = samples(8)
    wanted = [run(two_linears(), **feed)[0] for feed in feeds]
    lost = {}
    for method in ("gptq", "nearest"):
        done = quantise(
            two_linears(), feeds, "int4", Kept(None, ""), method=Method(rounding=method)
        )
        model = with_matrices(two_linears(), done.layers)
        lost[method] = sum(
            np.square(run(model, **feed)[0] - exact).sum()
            for feed, exact in zip(feeds, wanted, strict=True)
        )
    assert lost["gptq"] < 0.7 * lost["nearest"]


def test_samples_that_are_not_numbers_are_refused() -> None:
    feeds = samples()
    feeds[2]["embeds"][3, 4] = np.nan
    with pytest.raises(ConfigWrong, match="sample 2"):
        quantise(two_linears(), feeds, "int8", Kept(None, ""))


def report(name: str, error: float, weights: int = 10) -> Report:
    return Report(name, 8, weights, error, 1.0, 0)


def test_the_skip_list_starts_with_the_most_harmful_and_ends_at_its_limit() -> None:
    reports = [report(str(number), number / 100) for number in range(100)]
    found = find_skip(reports, lambda names: {"99", "97"} <= set(names))
    assert found.passed and found.names == ["99", "98", "97", "96"][: len(found.names)]
    hopeless = find_skip(reports, lambda _: False)
    assert not hopeless.passed
    assert hopeless.share <= 0.15
    assert find_skip(reports, lambda _: True).names == []


def test_a_layer_too_large_to_be_given_back_bars_no_smaller_one() -> None:
    reports = [report("big", 0.9, 20), report("s0", 0.5, 1), report("rest", 0.1, 79)]
    found = find_skip(reports, lambda names: "s0" in names)
    assert found.passed and found.names == ["s0"]


def linear_names(model: onnx.ModelProto) -> list[str]:
    return [linear.name for linear in find_linears(model)]


@pytest.mark.parametrize("bits", ["int8", "int4"])
def test_a_backbone_is_quantised_in_its_linears_and_nowhere_else(
    tiny: Exported, tmp_path: Path, bits
) -> None:
    names = {part.name: linear_names(onnx.load(tiny.directory / part.onnx)) for part in
             tiny.manifest.parts}  # fmt: skip
    layers = tiny.recipe.text.config.text.num_layers
    blocks = tiny.recipe.text.config.vision.depth
    assert len(names["decoder"]) == 7 * layers
    assert len(names["vision"]) == 7 * blocks + 2  # q k v proj gate up down, and the merger's two
    assert "layers.0.self_attn.q_proj" in names["decoder"]
    chance = np.random.default_rng(0)
    for part in tiny.manifest.parts:
        feeds = [
            {s.name: chance.standard_normal(s.shape).astype(np.float32) for s in part.inputs}
            for _ in range(2)
        ]
        done = quantise(onnx.load(tiny.directory / part.onnx), feeds, bits, Kept(None, ""))
        placed = place(onnx.load(tiny.directory / part.onnx), done.layers)
        onnx.checker.check_model(placed, full_check=True)
        lint(placed)
        products = [n for n in placed.graph.node if n.op_type in ("MatMul", "Gemm")]
        made = {n.output[0]: n.op_type for n in placed.graph.node}
        quantised = [n.name for n in products if made.get(n.input[1]) == "DequantizeLinear"]
        assert sorted(quantised) == sorted(names[part.name])
        # Attention: two products a layer, their operands both activations.
        attention = [n for n in products if n.input[1] in made and n.name not in quantised]
        assert len(attention) >= 2
        graph = tmp_path / "graph.onnx"
        onnx.save(placed, graph)
        compile_rtx(graph, tmp_path / "plan")
        exact = run(onnx.load(tiny.directory / part.onnx), **feeds[0])[0]
        found = run(cpu_form(placed), **feeds[0])[0]
        cosine = (exact * found).sum() / np.linalg.norm(exact) / np.linalg.norm(found)
        assert cosine > (0.999 if bits == "int8" else 0.97)


def test_moments_do_not_depend_on_how_samples_are_cut() -> None:
    x = np.random.default_rng(0).standard_normal((100, WIDTH)).astype(np.float32)
    whole, cut = second_moment([x]), second_moment([x[:30], x[30:]])
    assert torch.allclose(whole, cut, rtol=1e-4, atol=1e-5)
