"""Every family in half precision with float32 islands against transformers: pictures and sound."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from neon_edge.build.export import export_backbone
from neon_edge.build.islands import lint_islands
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.build.reference import ReferenceBackbone
from neon_edge.types import AudioWindow, CameraFrame, Float32
from tests.tiny_backbone import ENGINES, Exported, track

INSTRUCTIONS = ("Pick up the red cup.", "Turn to whoever is speaking, then wave: 7 × schnell!")
CUTS = [("qwen_vl_tiny", 1, 0), ("cosmos_reason2_tiny", 2, 0), ("qwen_omni_tiny", 1, 2)]
FULL_SIZE = ["qwen_omni_3b", "qwen_omni_7b", "qwen_vl_3b", "qwen_vl_7b"]
FULL_SIZE += ["cosmos_reason2_2b", "cosmos_reason2_8b"]


def cosine(a: Float32, b: Float32) -> float:
    wide, other = a.astype(np.float64), b.astype(np.float64)
    return float(wide @ other / np.linalg.norm(wide) / np.linalg.norm(other))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cameras", "seconds"), CUTS)
def test_half_features_are_those_of_transformers(
    name: str, cameras: int, seconds: int, frames: list[CameraFrame], tmp_path: Path
) -> None:
    recipe = load_recipe(ENGINES / name)
    cut = msgspec.structs.replace(recipe.text.cut, pictures=cameras, audio_seconds=seconds)
    text = msgspec.structs.replace(recipe.text, cut=cut, precision="fp16")
    recipe = Recipe(text, recipe.directory)
    half = Exported(recipe, tmp_path, export_backbone(recipe, None, tmp_path))
    for part in half.manifest.parts:
        lint_islands(onnx.load(tmp_path / part.onnx))
    reference = ReferenceBackbone(recipe)
    for place, words in enumerate(INSTRUCTIONS):
        seen = frames[place : place + cameras]
        heard = AudioWindow(track(seconds, place), 16000, 1) if seconds else None
        ours, theirs = half.pooled(seen, words, heard), reference.pooled(seen, words, heard)
        largest = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        print(f"{name}: 1 - cosine {1 - cosine(ours, theirs):.2g}, largest error {largest:.2g}")
        assert cosine(ours, theirs) >= 0.9999
        assert largest <= load_recipe(ENGINES / "qwen_omni_3b").gates.pooled_relative / 2


@pytest.mark.parametrize("name", FULL_SIZE)
def test_what_people_deploy_is_half_precision_in_parts_that_fit(name: str) -> None:
    text = load_recipe(ENGINES / name).text
    assert text.precision == "fp16"
    assert text.cut.layers_per_part > 0
    assert re.fullmatch(r"[0-9a-f]{40}", text.revision), "a branch moves; a commit does not"
