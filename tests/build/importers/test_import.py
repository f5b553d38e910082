"""Published layouts against codes packed by their publishers' own code, and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.build.importers import Layout, dequantised, layout_of, read_linear
from neon_edge.errors import ConfigWrong

Arrays = dict[str, Any]


@pytest.fixture(scope="module")
def published() -> Arrays:
    with np.load(Path(__file__).with_name("published.npz")) as stored:
        return dict(stored)


def layer(published: Arrays, name: str) -> Arrays:
    prefix = name + "."
    return {k[len(prefix) :]: v for k, v in published.items() if k.startswith(prefix)}


def wanted(published: Arrays, *, symmetric: bool, groups_of: Any) -> Any:
    """(q - z) * s in the order of the inputs, from the numbers that went in."""
    zeros = np.full_like(published["zeros"], 8) if symmetric else published["zeros"]
    scales = published["scales"].astype(np.float32)
    return (published["codes"] - zeros[groups_of]).astype(np.float32) * scales[groups_of]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", ["gptq_sym", "gptq_sym_act", "gptq_asym", "gptq_asym_act"])
def test_gptq_is_bit_exact_against_gptqmodel(published: Arrays, name: str, version: int) -> None:
    arrays = layer(published, name)
    if version == 1:
        arrays["qzeros"] = arrays["qzeros_v1"]
    symmetric, act = "_sym" in name, name.endswith("act")
    linear = read_linear(
        Layout("gptq_v1" if version == 1 else "gptq_v2", symmetric, 32), name, arrays
    )
    groups_of = published["mixed"] if act else np.arange(128) // 32
    assert (linear.zeros is None) == symmetric
    assert (linear.order is None) == (not act)
    codes = published["codes"] - 8
    order = np.arange(128) if linear.order is None else linear.order
    assert (linear.codes == codes[order]).all()
    assert (linear.scales.astype(np.float32) == published["scales"]).all()
    expected = wanted(published, symmetric=symmetric, groups_of=groups_of)
    assert (dequantised(linear) == expected).all()


def test_a_label_that_lies_about_symmetric_zero_points_changes_nothing(published: Arrays) -> None:
    truth = layer(published, "gptq_sym")
    found = [
        dequantised(read_linear(Layout(kind), "x", {**truth, "qzeros": truth[zeros]}))
        for kind in ("gptq_v1", "gptq_v2")
        for zeros in ("qzeros", "qzeros_v1")
    ]
    assert all((matrix == found[0]).all() for matrix in found)


def test_awq_is_bit_exact_against_its_packer(published: Arrays) -> None:
    linear = read_linear(Layout("awq_gemm", False, 32), "awq", layer(published, "awq"))
    assert linear.zeros is not None
    assert (linear.codes == published["codes"] - 8).all()
    assert (linear.zeros == published["zeros"] - 8).all()
    expected = wanted(published, symmetric=False, groups_of=np.arange(128) // 32)
    assert (dequantised(linear) == expected).all()


def test_compressed_tensors_is_bit_exact_against_its_packer(published: Arrays) -> None:
    arrays = layer(published, "packed")
    for symmetric in (True, False):
        linear = read_linear(Layout("packed_w4a16", symmetric, 32), "packed", arrays)
        expected = wanted(published, symmetric=symmetric, groups_of=np.arange(128) // 32)
        assert (dequantised(linear) == expected).all()


@given(st.integers(0, 2**32 - 1))
def test_modelopt_w4a16_by_its_published_words(seed: int) -> None:
    chance = np.random.default_rng(seed)
    codes = chance.integers(-8, 8, (6, 16))  # (outputs, inputs)
    weight = np.empty((3, 16), np.uint8)
    for row in range(3):
        for column in range(16):
            even, odd = codes[2 * row, column] % 16, codes[2 * row + 1, column] % 16
            weight[row, column] = even + 16 * odd
    scale = chance.uniform(0.01, 0.1, (6, 2)).astype(np.float32)
    smooth = chance.uniform(0.5, 2, 16).astype(np.float32)
    arrays = {"weight": weight, "weight_scale": scale, "pre_quant_scale": smooth}
    linear = read_linear(Layout("modelopt_w4a16", group=8), "x", arrays)
    assert (linear.codes == codes.T).all()
    expected = codes.T.astype(np.float32) * scale.T.repeat(8, axis=0) * smooth[:, None]
    assert np.array_equal(dequantised(linear), expected)


def test_int8_layers_keep_their_codes_and_both_scales() -> None:
    chance = np.random.default_rng(0)
    weight = chance.integers(-127, 128, (4, 8)).astype(np.int8)
    scale = chance.uniform(0.01, 0.1, 4).astype(np.float32)
    arrays = {"weight": weight, "weight_scale": scale, "input_scale": np.float32(0.02).reshape(())}
    for kind in ("modelopt_int8", "int_w8a8"):
        linear = read_linear(Layout(kind), "x", arrays)  # type: ignore[arg-type]
        assert linear.activation_scale == pytest.approx(0.02)
        assert np.array_equal(dequantised(linear), weight.T.astype(np.float32) * scale)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"quant_method": "bitsandbytes"}, "bitsandbytes"),
        ({"quant_method": "gptq", "bits": 3}, "3 bits"),
        ({"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"}, "marlin"),
        (
            {"quant_method": "gptq", "bits": 4, "dynamic": {"-:x": {}, "+:y": {"bits": 8}}},
            "dynamic",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "pack-quantized",
                "config_groups": {
                    "g": {"weights": {"type": "int", "num_bits": 4, "actorder": "group"}}
                },
            },
            "actorder",
        ),
        ({"quant_method": "awq", "bits": 4, "version": "gemv"}, "gemv"),
        ({"quant_method": "compressed-tensors", "config_groups": {}}, "0 config groups"),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "float-quantized",
                "config_groups": {"group_0": {"weights": {"type": "float", "num_bits": 8}}},
            },
            "float-quantized",
        ),
        ({"quant_algo": "NVFP4"}, "nvfp4"),
    ],
)
def test_an_unknown_variant_is_refused_by_name(config: Arrays, word: str) -> None:
    with pytest.raises(ConfigWrong) as refusal:
        layout_of(config)
    assert word in refusal.value.wrong


def test_known_descriptions_are_read() -> None:
    qwen = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": False}
    assert layout_of(qwen) == Layout("gptq_v1", True, 128)
    awq = {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm"}
    assert layout_of(awq) == Layout("awq_gemm", False, 128)
    assert layout_of({"quant_algo": "W4A16_AWQ", "group_size": 128}).kind == "modelopt_w4a16"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"scales": None}, "scales"),
        ({"g_idx": np.r_[np.zeros(33), np.arange(95) // 32 + 1].astype(np.int32)}, "groups of"),
        ({"qzeros": np.zeros((4, 3), np.int32)}, "symmetric"),
        ({"scales": np.zeros((4, 24), np.float16)}, "not positive"),
        ({"scales": np.full((4, 24), np.nan, np.float16)}, "not positive"),
        ({"scales": np.ones((0, 24), np.float16), "g_idx": np.arange(128) // 32}, "empty"),
        ({"qweight": np.zeros(16, np.int32)}, "2 axes"),
        ({"qweight": np.zeros((16, 24), np.int64)}, "32 bits"),
        ({"g_idx": np.zeros(128, np.float32)}, "whole numbers"),
    ],
)
def test_a_damaged_layer_is_refused(published: Arrays, change: Arrays, word: str) -> None:
    arrays = {**layer(published, "gptq_sym"), **change}
    arrays = {name: value for name, value in arrays.items() if value is not None}
    with pytest.raises(ConfigWrong) as refusal:
        read_linear(Layout("gptq_v2"), "layers.0.q_proj", arrays)
    assert "layers.0.q_proj" in refusal.value.wrong
    assert word in refusal.value.facts


def test_what_only_skips_modules_or_orders_the_work_changes_no_layout() -> None:
    skips = {"quant_method": "gptq", "bits": 4, "dynamic": {"-:.*visual.*": {}}}
    assert layout_of(skips).kind == "gptq_v1"
    weights = {"type": "int", "num_bits": 4, "group_size": 128, "actorder": "weight"}
    packed = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"group_0": {"weights": weights}},
    }
    assert layout_of(packed).kind == "packed_w4a16"
