"""Whatever a checkpoint says or holds is read or refused by name: no traceback reaches a user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from neon_edge.build.importers import (
    Layout,
    QuantisedCheckpoint,
    QuantisedLinear,
    layout_of,
    read_linear,
)
from neon_edge.errors import ConfigWrong
from tests.build.importers.test_import import layer

Arrays = dict[str, Any]
GPTQ = {"quant_method": "gptq", "bits": 4}
PACKED = {"type": "int", "num_bits": 4, "group_size": 128}
WHOLE = {"type": "int", "num_bits": 8}


def compressed(stored: str, weights: Any, incoming: Any = None) -> Arrays:
    group = {"weights": weights, "input_activations": incoming}
    return {
        "quant_method": "compressed-tensors",
        "format": stored,
        "config_groups": {"group_0": group},
    }


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({**GPTQ, "group_size": None}, "group_size None"),
        ({**GPTQ, "group_size": "128"}, "group_size '128'"),
        ({**GPTQ, "sym": None}, "sym None"),
        ({"quant_method": "awq", "bits": 4, "group_size": None}, "group_size None"),
        ({"quant_algo": "W4A16_AWQ", "group_size": "all"}, "group_size 'all'"),
        (compressed("int-quantized", WHOLE, {"num_bits": 4, "type": "int"}), "'num_bits': 4"),
        (compressed("int-quantized", WHOLE, {"num_bits": 8, "type": "float"}), "'type': 'float'"),
        (compressed("int-quantized", WHOLE, {"num_bits": 8, "strategy": "token"}), "token"),
        (compressed("pack-quantized", {**PACKED, "group_size": 1.5}), "group_size 1.5"),
        (compressed("pack-quantized", {**PACKED, "symmetric": None}), "symmetric None"),
        ({"quant_method": "compressed-tensors", "config_groups": None}, "0 config groups"),
        ({"quant_method": "compressed-tensors", "config_groups": ["a"]}, "0 config groups"),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": None}}, "1 config groups"),
    ],
)
def test_a_description_that_is_not_exactly_known_is_refused_by_name(
    config: Arrays, word: str
) -> None:
    with pytest.raises(ConfigWrong) as refusal:
        layout_of(config)
    assert word in refusal.value.wrong
    assert refusal.value.facts and refusal.value.fix


def test_static_inputs_of_8_bits_are_read_however_much_is_stated() -> None:
    for incoming in ({}, {"num_bits": 8}, {"num_bits": 8, "strategy": "tensor", "type": "int"}):
        assert layout_of(compressed("int-quantized", WHOLE, incoming)).kind == "int_w8a8"
    channel = {**PACKED, "group_size": None, "strategy": "channel"}
    assert layout_of(compressed("pack-quantized", channel)) == Layout("packed_w4a16", True, 0)


def test_asymmetric_layers_without_zero_points_are_refused() -> None:
    arrays = dict(SOUND["packed_w4a16"])
    del arrays["weight_zero_point"]
    with pytest.raises(ConfigWrong, match="q_proj") as refusal:
        read_linear(Layout("packed_w4a16", False), "q_proj", arrays)
    assert "asymmetric" in refusal.value.facts


def test_numbers_of_a_type_that_numpy_lacks_are_refused(tmp_path: Path) -> None:
    scale = torch.ones(8, 2).to(torch.float8_e4m3fn)
    weight = torch.zeros(4, 16, dtype=torch.uint8)
    save_file({"q.weight": weight, "q.weight_scale": scale}, tmp_path / "model.safetensors")
    config = '{"quantization_config": {"quant_algo": "W4A16_AWQ"}}'
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ConfigWrong, match="'q'") as refusal:
        QuantisedCheckpoint(tmp_path).layer("q")
    assert "float8" in refusal.value.facts


def sound() -> dict[str, Arrays]:
    """A layer of every layout."""
    with np.load(Path(__file__).with_name("published.npz")) as stored:
        arrays = dict(stored)
    int8 = {
        "weight": np.ones((24, 128), np.int8),
        "weight_scale": np.ones(24, np.float32),
        "input_scale": np.ones((), np.float32),
        "pre_quant_scale": np.ones(128, np.float32),
    }
    w4a16 = {"weight": np.ones((12, 128), np.uint8), "weight_scale": np.ones((24, 4), np.float32)}
    return {
        "gptq_v1": layer(arrays, "gptq_asym_act"),
        "gptq_v2": layer(arrays, "gptq_sym_act"),
        "awq_gemm": layer(arrays, "awq"),
        "packed_w4a16": layer(arrays, "packed"),
        "int_w8a8": int8,
        "modelopt_int8": int8,
        "modelopt_w4a16": w4a16,
    }


SOUND = sound()
SHAPES = [
    (),
    (0,),
    (1,),
    (2,),
    (24,),
    (128,),
    (0, 24),
    (4, 0),
    (1, 24),
    (16, 24),
    (4, 3),
    (2, 2, 2),
]
TYPES = ["int8", "uint8", "int32", "int64", "float16", "float32", "float64", "bool"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(SOUND)), st.booleans(), st.randoms(use_true_random=False))
def test_a_layer_with_one_tensor_replaced_is_read_or_refused(
    kind: Any, symmetric: bool, chance: Any
) -> None:
    arrays = dict(SOUND[kind])
    name = chance.choice(sorted(arrays))
    if chance.random() < 0.2:
        del arrays[name]
    else:
        value = np.full(chance.choice(SHAPES), chance.choice([-1, 0, 1, 7]))
        arrays[name] = value.astype(chance.choice(TYPES))
    try:
        found = read_linear(Layout(kind, symmetric), "q_proj", arrays)
    except ConfigWrong as refusal:
        assert "q_proj" in refusal.wrong and refusal.facts and refusal.fix
    else:
        assert isinstance(found, QuantisedLinear)
