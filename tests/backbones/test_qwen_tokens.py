"""Tokens beside the pooled features: transformers' last hidden state, and nothing else changed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.build.export import export_backbone
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.build.reference import ReferenceBackbone
from neon_edge.engine.plan import compile_part, open_engine, this_machine
from neon_edge.errors import ConfigWrong
from neon_edge.features.backbone import Backbone
from neon_edge.types import AudioWindow, CameraFrame, Float32
from tests.tiny_backbone import ENGINES, track

TOLERANCE = 1e-4
CUTS = [
    ("qwen_vl_tiny", {}),
    ("qwen_vl_tiny", {"layers_per_part": 2, "tap": "pre_norm"}),
    ("cosmos_reason2_tiny", {"fold_prefix": True, "pictures": 2}),
    ("qwen_omni_tiny", {"audio_seconds": 2, "vision_apart": True}),
]


def cut_so(name: str, **changes: object) -> Recipe:
    recipe = load_recipe(ENGINES / name)
    cut = msgspec.structs.replace(recipe.text.cut, tokens=True, **changes)
    return Recipe(
        msgspec.structs.replace(recipe.text, cut=cut, embeddings="float32"), recipe.directory
    )


def opened(recipe: Recipe, directory: Path) -> Backbone:
    manifest = export_backbone(recipe, None, directory)
    assert manifest.shown == manifest.tokens
    machine = this_machine("onnxruntime")
    parts = [compile_part(directory, part, directory, "onnxruntime") for part in manifest.parts]
    return Backbone(manifest, directory, [open_engine(directory, each, machine) for each in parts])


@pytest.mark.parametrize(("name", "changes"), CUTS)
def test_tokens_are_transformers_last_hidden_state(
    name: str, changes: dict[str, object], tmp_path: Path, frames: list[CameraFrame]
) -> None:
    recipe = cut_so(name, **changes)
    backbone, reference = opened(recipe, tmp_path), ReferenceBackbone(recipe)
    moment = frames[: recipe.text.cut.pictures]
    sound: Float32 | None = track(2) if backbone.listens else None
    lengths = set()
    for words in ("Wave.", "Pick up the red cup and put it on the table behind you."):
        backbone.instruct(words)
        backbone.see(moment)
        if sound is not None:
            backbone.hear(AudioWindow(sound, 16000, 1))
        backbone.infer()
        [theirs] = reference.tokens_each([moment], [words], None if sound is None else [sound])
        ours = backbone.tokens
        assert ours is not None and ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max()
        assert np.abs(ours.mean(axis=0) - backbone.pooled).max() <= 1e-5
        lengths.add(len(ours))
    assert len(lengths) == 2, "padding is no token"
    backbone.close()


def test_a_backbone_that_is_not_asked_gives_none(tmp_path: Path) -> None:
    recipe = load_recipe(ENGINES / "qwen_vl_tiny")
    assert export_backbone(recipe, None, tmp_path).shown == 0


def test_heads_without_tokens_fit_both() -> None:
    recipe = load_recipe(ENGINES / "qwen_vl_tiny")
    cut = msgspec.structs.replace(recipe.text.cut, tokens=True)
    shows = Recipe(msgspec.structs.replace(recipe.text, cut=cut), recipe.directory)
    assert shows.config_bytes == recipe.config_bytes
    wider = msgspec.structs.replace(cut, text_tokens=97)
    other = Recipe(msgspec.structs.replace(recipe.text, cut=wider), recipe.directory)
    assert other.config_bytes != recipe.config_bytes


def test_tribe_refuses_with_the_reason() -> None:
    recipe = load_recipe(ENGINES / "tribev2_tiny")
    cut = msgspec.structs.replace(recipe.text.cut, tokens=True)
    with pytest.raises(ConfigWrong, match="gives out no tokens"):
        Recipe(msgspec.structs.replace(recipe.text, cut=cut), recipe.directory)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_last_part_is_a_tensorrt_graph(precision: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    from neon_edge.engine.rtx import compile_rtx

    recipe = cut_so("qwen_vl_tiny", layers_per_part=2)
    recipe = Recipe(msgspec.structs.replace(recipe.text, precision=precision), recipe.directory)
    last = export_backbone(recipe, None, tmp_path).parts[-1]
    assert [spec.name for spec in last.outputs] == ["pooled", "tokens"]
    compile_rtx(tmp_path / last.onnx, tmp_path / "last.plan")
    assert (tmp_path / "last.plan").stat().st_size > 100_000
