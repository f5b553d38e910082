"""`neon-edge build --weights` of a checkpoint that others quantised: its codes reach the plans."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import load_file, save_file

from neon_edge.build.pipeline import BuildRequest, build
from neon_edge.build.quantise.lint import lint
from neon_edge.build.quantised_weights import QuantisedWeights
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.build.weights import open_weights
from neon_edge.engine.manifest import read_manifest
from neon_edge.engine.rtx import compile_rtx
from neon_edge.errors import ConfigWrong
from tests.build.importers.autogptq import AWQ, GPTQ, awq_layer, gptq_layer, publish
from tests.conftest import ROOT
from tests.tiny_backbone import ENGINES

DECODER, VISION = "model.layers.", "visual.blocks."


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(ENGINES / "qwen_vl_tiny")


@pytest.mark.parametrize(("config", "layer"), [(GPTQ, gptq_layer), (AWQ, awq_layer)])
def test_weights_are_what_the_codes_stand_for(
    recipe: Recipe, tmp_path: Path, config: dict[str, Any], layer: Any
) -> None:
    quantised = publish(recipe, tmp_path, config, "model.layers.0.")
    weights = open_weights(str(tmp_path), recipe)
    assert isinstance(weights, QuantisedWeights)
    assert weights.modules == sorted(quantised)
    plain = open_weights("random:3", recipe)
    for name in recipe.adaptor.tensors():
        wanted = plain.tensor(name)
        if name.removesuffix(".weight") in quantised:
            wanted = torch.from_numpy(layer(wanted.numpy())[1])
        assert torch.equal(weights.tensor(name), wanted), name


def rewrite(directory: Path, name: str, value: torch.Tensor | None) -> None:
    file = next(directory.glob("*.safetensors"))
    tensors = load_file(file)
    tensors.pop(name, None)
    if value is not None:
        tensors[name] = value
    save_file(tensors, file)


def test_scales_in_bfloat16_are_read_as_they_are(recipe: Recipe, tmp_path: Path) -> None:
    publish(recipe, tmp_path, GPTQ, "model.layers.0.mlp.up_proj")
    name = "model.layers.0.mlp.up_proj"
    exact = load_file(next(tmp_path.glob("*.safetensors")))[f"{name}.scales"].bfloat16()
    rewrite(tmp_path, f"{name}.scales", exact)
    weights = open_weights(str(tmp_path), recipe)
    assert isinstance(weights, QuantisedWeights)
    layer = weights.checkpoint.layer(name)
    assert np.array_equal(layer.scales, exact.float().numpy())
    steps = exact.float().repeat_interleave(layer.group, dim=0)
    wanted = torch.from_numpy(layer.codes.astype(np.float32)) * steps
    assert torch.equal(weights.tensor(f"{name}.weight"), wanted.T)


def test_what_is_not_the_recipes_is_refused_by_name(recipe: Recipe, tmp_path: Path) -> None:
    publish(recipe, tmp_path, GPTQ, "model.layers.0.")
    rewrite(tmp_path, "model.layers.0.self_attn.o_proj.bias", torch.ones(128))
    with pytest.raises(ConfigWrong, match=r"o_proj\.bias"):
        open_weights(str(tmp_path), recipe)
    rewrite(tmp_path, "model.layers.0.self_attn.o_proj.bias", None)
    rewrite(tmp_path, "model.layers.1.mlp.up_proj.weight", None)
    with pytest.raises(ConfigWrong, match=r"layers\.1\.mlp\.up_proj"):
        open_weights(str(tmp_path), recipe)


def test_a_layer_of_another_shape_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    publish(recipe, tmp_path, GPTQ, "model.layers.0.mlp.down_proj")
    tensors, _ = gptq_layer(np.ones((128, 384), np.float32))
    for field, value in tensors.items():
        rewrite(tmp_path, f"model.layers.0.mlp.down_proj.{field}", value)
    weights = open_weights(str(tmp_path), recipe)
    with pytest.raises(ConfigWrong, match="384"):
        weights.tensor("model.layers.0.mlp.down_proj.weight")


@pytest.mark.parametrize("config", [{"quant_method": "exl2"}, {**GPTQ, "bits": 3}])
def test_an_unknown_layout_is_refused_before_anything_is_read(
    recipe: Recipe, tmp_path: Path, config: dict[str, Any]
) -> None:
    publish(recipe, tmp_path, GPTQ, "model.layers.0.")
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": config}))
    with pytest.raises(ConfigWrong, match=r"exl2|3 bits"):
        open_weights(str(tmp_path), recipe)


def request(weights: Path, checkpoint: Path, out: Path, precision: str = "") -> BuildRequest:
    recipe = str(ENGINES / "qwen_vl_tiny")
    return BuildRequest(recipe, checkpoint, str(weights), out, precision=precision)


def quiet(_: str) -> None:
    """Steps are for people."""


def test_quantising_twice_is_refused_before_any_work(recipe: Recipe, tmp_path: Path) -> None:
    publish(recipe, tmp_path, GPTQ, "model.layers.0.")
    asked = request(tmp_path, tmp_path, tmp_path / "out", "int8")
    with pytest.raises(ConfigWrong, match="quantised already"):
        build(asked, quiet)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("config", "modules"), [(GPTQ, DECODER), (AWQ, VISION)])
def test_published_codes_reach_the_plans_unrounded(
    recipe: Recipe, tmp_path: Path, config: dict[str, Any], modules: str
) -> None:
    """The gate is the float recipe's: torch on the dequantised weights is what plans equal."""
    weights, checkpoint, out = tmp_path / "w", tmp_path / "heads", tmp_path / "out"
    weights.mkdir()
    quantised = publish(recipe, weights, config, modules)
    script = ROOT / "scripts" / "make_checkpoint.py"
    backbone = ["--backbone-id", recipe.text.model_id]
    subprocess.run([sys.executable, str(script), str(checkpoint), *backbone], check=True, cwd=ROOT)
    manifest = read_manifest(build(request(weights, checkpoint, out), quiet))
    assert manifest.backbone.quantised == "int4"
    assert not manifest.backbone.random
    assert all(gate.passed for gate in manifest.gates)
    pooled = next(gate for gate in manifest.gates if "pooled" in gate.name)
    assert pooled.limit == recipe.gates.pooled_relative
    assert _codes(out / "bundle-published", tmp_path) == _published_codes(weights, quantised)


def _codes(bundle: Path, scratch: Path) -> set[tuple[int, ...]]:
    """Every column of 4-bit codes in the graphs, which compile."""
    found = set()
    for part in read_manifest(bundle).backbone.parts:
        model = onnx.load(bundle / part.onnx)
        lint(model)
        compile_rtx(bundle / part.onnx, scratch / "plan")
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.INT4:
                codes = np.asarray(numpy_helper.to_array(tensor)).astype(int)
                found |= {tuple(column) for column in codes.T.tolist()}
    return found


def _published_codes(directory: Path, quantised: set[str]) -> set[tuple[int, ...]]:
    """Unpacked by division, as written."""
    tensors = load_file(next(directory.glob("*.safetensors")))
    found = set()
    for module in quantised:
        words = tensors[f"{module}.qweight"].numpy().astype(np.int64) % (1 << 32)
        nibbles = np.stack([words // 16**k % 16 for k in range(8)], axis=-1)
        if f"{module}.g_idx" in tensors:
            columns = nibbles.transpose(1, 0, 2).reshape(words.shape[1], -1)
        else:
            order = [0, 4, 1, 5, 2, 6, 3, 7]
            columns = nibbles[..., order].reshape(len(words), -1).T
        found |= {tuple(column) for column in (columns - 8).tolist()}
    return found
