"""Every family's graphs against transformers' own model, on real pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.build.export import export_backbone
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.build.reference import ReferenceBackbone, reference_pooled
from neon_edge.types import CameraFrame, Float32
from tests.build.cpu.same import same_as_exported
from tests.tiny_backbone import ENGINES, Exported

INSTRUCTIONS = [
    "",
    "Pick up the red cup.",
    "Walk forward, stop in front of the door, then wave with the right hand: 7 × schnell!",
]
TINY = ["qwen_vl_tiny", "cosmos_reason2_tiny"]


def relative(ours: Float32, theirs: Float32) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


@pytest.fixture(scope="module", params=TINY)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    recipe = load_recipe(ENGINES / request.param)
    directory = tmp_path_factory.mktemp(request.param)
    return Exported(recipe, directory, export_backbone(recipe, None, directory))


@pytest.fixture(scope="module")
def reference(family: Exported) -> Iterator[ReferenceBackbone]:
    yield ReferenceBackbone(family.recipe)


def test_graphs_equal_transformers(
    family: Exported, reference: ReferenceBackbone, frames: list[CameraFrame]
) -> None:
    for instruction in INSTRUCTIONS:
        for frame in frames[:3]:
            theirs = reference.pooled([frame], instruction)
            assert relative(family.pooled([frame], instruction), theirs) <= 1e-4


def test_two_cameras_split_decoder_and_the_tap_ahead_of_the_norm(
    family: Exported, frames: list[CameraFrame], tmp_path: Path
) -> None:
    changes = {"pictures": 2, "layers_per_part": 2, "tap": "pre_norm", "width": 448}
    cut = msgspec.structs.replace(family.recipe.text.cut, **changes)
    text = msgspec.structs.replace(family.recipe.text, cut=cut)
    recipe = Recipe(text, family.recipe.directory)
    manifest = export_backbone(recipe, "random:5", tmp_path)
    assert [part.name for part in manifest.parts] == ["vision", "decoder_0_1", "decoder_2_3"]
    ours = Exported(recipe, tmp_path, manifest).pooled(frames[:2], INSTRUCTIONS[1])
    theirs = reference_pooled(recipe, "random:5", frames[:2], INSTRUCTIONS[1])
    assert relative(ours, theirs) <= 1e-4
    swapped = reference_pooled(recipe, "random:5", frames[1::-1], INSTRUCTIONS[1])
    assert relative(ours, swapped) > 1e-3, "the order of cameras must matter"


def test_pooled_features_follow_picture_and_instruction(
    family: Exported, frames: list[CameraFrame]
) -> None:
    pooled = np.stack([family.pooled([frame], "Follow the bicycle.") for frame in frames])
    assert pooled.std(axis=0).mean() > 0.1 * pooled.std()
    assert relative(family.pooled(frames[:1], "Stand still."), pooled[0]) > 1e-2


def test_every_part_is_a_tensorrt_graph(family: Exported, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    from neon_edge.engine.rtx import compile_rtx

    for part in family.manifest.parts:
        plan = tmp_path / f"{part.name}.plan"
        compile_rtx(family.directory / part.onnx, plan)
        assert plan.stat().st_size > 100_000


def test_every_attention_is_one_operator_on_a_cpu(family: Exported, tmp_path: Path) -> None:
    for part in family.manifest.parts:
        ops = same_as_exported(family.directory, part, tmp_path)
        assert ops["Softmax"] == ops["Neg"] == 0, part.name
        # A layer turns queries and keys; a decoder's attention is in blocks.
        assert ops["RotaryEmbedding"] >= 8 and ops["Attention"] >= 4, part.name
