"""Quantised checkpoints on disk, and a published layer all the way to both engines' graphs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from safetensors.numpy import save_file

from neon_edge.build.cpu.form import cpu_form
from neon_edge.build.importers import QuantisedCheckpoint, dequantised
from neon_edge.build.quantise.lint import lint
from neon_edge.build.quantise.place import place
from neon_edge.engine.rtx import compile_rtx
from neon_edge.errors import ConfigWrong
from tests.build.importers.test_import import layer, wanted
from tests.build.quantise.graphs import run

NAME = "model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    with np.load(Path(__file__).with_name("published.npz")) as stored:
        return dict(stored)


def write(directory: Path, config: dict[str, Any], arrays: dict[str, Any]) -> None:
    save_file({f"{NAME}.{k}": np.ascontiguousarray(v) for k, v in arrays.items()},
              directory / "model.safetensors")  # fmt: skip
    (directory / "config.json").write_text(json.dumps({"quantization_config": config}))


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "checkpoint_format": "gptq_v2"}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm"}


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("gptq_sym", {**GPTQ, "sym": True}),
        ("gptq_asym_act", {**GPTQ, "sym": False, "desc_act": True}),
        ("awq", AWQ),
    ],
)
def test_a_published_layer_runs_exactly_in_both_forms(
    published: dict[str, Any], tmp_path: Path, name: str, config: dict[str, Any]
) -> None:
    arrays = {k: v for k, v in layer(published, name).items() if k != "qzeros_v1"}
    write(tmp_path, config, arrays)
    checkpoint = QuantisedCheckpoint(tmp_path)
    assert checkpoint.names == [NAME]
    groups_of = published["mixed"] if name.endswith("act") else np.arange(128) // 32
    exact = wanted(published, symmetric="_sym" in name, groups_of=groups_of)
    assert np.array_equal(checkpoint.weight(NAME), exact.T)
    x = np.random.default_rng(0).standard_normal((1, 7, 128)).astype(np.float32)
    linear = _padded(checkpoint)
    placed = place(_graph(dequantised(linear)), {"q_proj": linear})
    lint(placed)
    onnx.save(placed, tmp_path / "graph.onnx")
    compile_rtx(tmp_path / "graph.onnx", tmp_path / "plan")
    product = np.maximum(x, 0) @ dequantised(linear)
    for form in (placed, cpu_form(onnx.ModelProto.FromString(placed.SerializeToString()))):
        np.testing.assert_allclose(run(form, x=x)[0], product, rtol=1e-4, atol=1e-4)


def test_what_does_not_describe_itself_is_refused(
    published: dict[str, Any], tmp_path: Path
) -> None:
    write(tmp_path, GPTQ, layer(published, "gptq_sym"))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigWrong, match="does not say"):
        QuantisedCheckpoint(tmp_path)
    write(tmp_path, {"quant_method": "hqq"}, layer(published, "gptq_sym"))
    with pytest.raises(ConfigWrong, match="hqq"):
        QuantisedCheckpoint(tmp_path)
    write(tmp_path, GPTQ, {})
    with pytest.raises(ConfigWrong, match="no quantised layer"):
        QuantisedCheckpoint(tmp_path)
    write(tmp_path, GPTQ, layer(published, "gptq_sym"))
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:200])
    with pytest.raises(ConfigWrong, match="damaged"):
        QuantisedCheckpoint(tmp_path)


def _padded(checkpoint: QuantisedCheckpoint) -> Any:
    """The published layer beside itself: 24 outputs are fewer than a product worth quantising."""
    one = checkpoint.layer(NAME)
    zeros = None if one.zeros is None else np.tile(one.zeros, (1, 2))
    return replace(
        one, codes=np.tile(one.codes, (1, 2)), scales=np.tile(one.scales, (1, 2)), zeros=zeros
    )


def _graph(matrix: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["h"], "relu"),
            helper.make_node("MatMul", ["h", "W"], ["y"], "q_proj"),
        ],
        "one",
        [helper.make_tensor_value_info("x", 1, [1, 7, 128])],
        [helper.make_tensor_value_info("y", 1, [1, 7, matrix.shape[1]])],
        [numpy_helper.from_array(matrix.astype(np.float32), "W")],
        value_info=[helper.make_tensor_value_info("h", 1, [1, 7, 128])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return model
