"""bfloat16 plans by their numbers: every family's tiny sibling against transformers."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from neon_edge.build.export import export_backbone
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.build.reference import ReferenceBackbone
from neon_edge.build.weights import Weights, open_weights
from neon_edge.types import AudioWindow, CameraFrame, Float32
from tests.build.bfloat import emulated, session, write_emulated
from tests.tiny_backbone import ENGINES, Exported, track

INSTRUCTION = "Turn to whoever is speaking, then wave: 7 × schnell!"
CUTS = [("qwen_vl_tiny", 1, 0), ("cosmos_reason2_tiny", 2, 0), ("qwen_omni_tiny", 1, 2)]
LEAST_COSINE = 0.9995
"""Against float32: bfloat16 keeps 8 bits."""


def cosine(a: Float32, b: Float32) -> float:
    wide, other = a.astype(np.float64), b.astype(np.float64)
    return float(wide @ other / np.linalg.norm(wide) / np.linalg.norm(other))


def test_rounding_is_torchs_own(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    x, w = torch.randn((4, 64), generator=draw), torch.randn((64, 8), generator=draw)
    brain = numpy_helper.from_array(np.zeros(0, np.float32), "w")
    brain.data_type = TensorProto.BFLOAT16
    brain.dims[:] = w.shape
    brain.raw_data = w.bfloat16().view(torch.int16).numpy().tobytes()
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["narrow"], to=TensorProto.BFLOAT16),
            helper.make_node("MatMul", ["narrow", "w"], ["product"]),
            helper.make_node("Cast", ["product"], ["y"], to=TensorProto.FLOAT),
        ],
        "one product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (4, 8))],
        [brain],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(emulated(model), tmp_path / "one.onnx")
    (ours,) = session(tmp_path / "one.onnx").run(None, {"x": x.numpy()})
    theirs = (x.bfloat16().float() @ w.bfloat16().float()).bfloat16().float().numpy()
    np.testing.assert_allclose(ours, theirs, rtol=2**-8)
    assert (ours == theirs).mean() > 0.9
    assert (ours != (x @ w).numpy()).all()


class Brain(Weights):
    """Weights that are handed out in bfloat16, so that transformers computes in it."""

    def __init__(self, wide: Weights) -> None:
        self.origin, self.directory, self._wide = wide.origin, wide.directory, wide

    @property
    def sha256(self) -> str:
        """Nobody asks."""
        raise NotImplementedError

    def tensor(self, name: str) -> torch.Tensor:
        """Rounded."""
        return self._wide.tensor(name).bfloat16()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cameras", "seconds"), CUTS)
def test_features_in_bfloat16_are_those_of_transformers(
    name: str,
    cameras: int,
    seconds: int,
    frames: list[CameraFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = load_recipe(ENGINES / name)
    cut = msgspec.structs.replace(recipe.text.cut, pictures=cameras, audio_seconds=seconds)
    recipe = Recipe(
        msgspec.structs.replace(recipe.text, cut=cut, precision="bf16"), recipe.directory
    )
    (tmp_path / "bf16").mkdir()
    manifest = export_backbone(recipe, None, tmp_path / "bf16")
    half = Exported(recipe, tmp_path / "bf16", manifest)
    write_emulated(half.directory, [part.onnx for part in manifest.parts], half.directory)
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda path: session(Path(path)))
    seen, heard = frames[:cameras], AudioWindow(track(seconds), 16000, 1) if seconds else None
    ours = half.pooled(seen, INSTRUCTION, heard)
    exact = ReferenceBackbone(recipe).pooled(seen, INSTRUCTION, heard)
    plain = torch.Tensor.numpy
    monkeypatch.setattr(torch.Tensor, "numpy", lambda self: plain(self.float()))
    brain = ReferenceBackbone(recipe, Brain(open_weights(None, recipe)))
    theirs = brain.pooled(seen, INSTRUCTION, heard)
    lost, theirs_lost = 1 - cosine(ours, exact), 1 - cosine(theirs, exact)
    print(f"{name}: 1 - cosine {lost:.2g}, transformers in bfloat16 {theirs_lost:.2g}")
    assert 1e-7 < lost <= 1 - LEAST_COSINE
    assert lost <= 2 * theirs_lost, "no more than transformers loses, but for chance"
