"""Exported graphs against transformers' own model, on real pictures."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.build import graph
from neon_edge.build.export import export_backbone, tokenised, write_part
from neon_edge.build.recipe import Recipe
from neon_edge.build.reference import ReferenceBackbone, reference_pooled
from neon_edge.build.tokenizer import open_tokenizer
from neon_edge.build.weights import open_weights
from neon_edge.engine.files import sha256_file, weights_of
from neon_edge.errors import ConfigWrong
from neon_edge.types import CameraFrame, Float32
from tests.tiny_backbone import Exported

INSTRUCTIONS = [
    "",
    "Pick up the red cup.",
    "Walk forward, stop in front of the door, then wave with the right hand: 7 × schnell!",
]


def relative(ours: Float32, theirs: Float32) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def recut(recipe: Recipe, **changes: object) -> Recipe:
    cut = msgspec.structs.replace(recipe.text.cut, **changes)
    return Recipe(msgspec.structs.replace(recipe.text, cut=cut), recipe.directory)


@pytest.fixture(scope="module")
def reference(tiny_recipe: Recipe) -> ReferenceBackbone:
    return ReferenceBackbone(tiny_recipe)


@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_graphs_equal_transformers(
    tiny: Exported, reference: ReferenceBackbone, frames: list[CameraFrame], instruction: str
) -> None:
    for frame in frames[:3]:
        theirs = reference.pooled([frame], instruction)
        assert relative(tiny.pooled([frame], instruction), theirs) <= 1e-4


def test_two_cameras_split_decoder_and_the_tap_ahead_of_the_norm(
    tiny_recipe: Recipe, frames: list[CameraFrame], tmp_path: Path
) -> None:
    recipe = recut(tiny_recipe, pictures=2, layers_per_part=3, tap="pre_norm", width=336)
    manifest = export_backbone(recipe, "random:5", tmp_path)
    names = [part.name for part in manifest.parts]
    assert names == ["vision", "decoder_0_2", "decoder_3_3"]
    ours = Exported(recipe, tmp_path, manifest).pooled(frames[:2], INSTRUCTIONS[1])
    theirs = reference_pooled(recipe, "random:5", frames[:2], INSTRUCTIONS[1])
    assert relative(ours, theirs) <= 1e-4
    swapped = reference_pooled(recipe, "random:5", frames[1::-1], INSTRUCTIONS[1])
    assert relative(ours, swapped) > 1e-3, "the order of cameras must matter"


def test_pooled_features_follow_picture_and_instruction(
    tiny: Exported, frames: list[CameraFrame]
) -> None:
    pooled = np.stack([tiny.pooled([frame], "Follow the bicycle.") for frame in frames])
    assert pooled.std(axis=0).mean() > 0.1 * pooled.std()
    other = tiny.pooled(frames[:1], "Stand still.")
    assert relative(other, pooled[0]) > 1e-2


def test_what_stands_in_the_padding_changes_nothing(
    tiny: Exported, frames: list[CameraFrame]
) -> None:
    from neon_edge.features.preprocess import Preprocessor
    from neon_edge.features.prompt import PromptEncoder

    image, prompt = tiny.manifest.image, tiny.manifest.prompt
    patches = np.empty((image.patches, image.patch_width), np.float32)
    Preprocessor(image).fill(frames[0].image, patches)
    embeds, weights = PromptEncoder(prompt, tiny.directory, tiny.manifest.tokens).encode("Stop.")
    fed = {"patches": patches, "text_embeds": embeds, "pool_weights": weights}
    clean = tiny.run(fed)
    padding = int((weights == 0).sum())
    assert padding > 10
    embeds[0, -padding:] = 1e3
    assert np.array_equal(tiny.run(fed), clean)


def test_prompt_ids_are_those_of_the_whole_text(
    tiny: Exported, reference: ReferenceBackbone
) -> None:
    tokenizer = open_tokenizer(open_weights(None, tiny.recipe), tiny.recipe.adaptor)
    prompt, image = tiny.manifest.prompt, tiny.manifest.image
    for instruction in INSTRUCTIONS:
        pieces = prompt.before + [508] * image.picture_tokens + prompt.between
        pieces += tokenizer.encode(instruction).ids + prompt.after
        assert pieces == reference.token_ids(1, instruction)


def test_every_part_is_a_tensorrt_graph(tiny: Exported, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    from neon_edge.engine.rtx import compile_rtx

    for part in tiny.manifest.parts:
        plan = tmp_path / f"{part.name}.plan"
        compile_rtx(tiny.directory / part.onnx, plan)
        assert plan.stat().st_size > 100_000


def test_an_export_is_the_same_bytes_every_time(tiny: Exported, tmp_path: Path) -> None:
    adaptor = tiny.recipe.adaptor
    source = open_weights(None, tiny.recipe)
    plan = adaptor.parts(tiny.manifest.prompt)[1]
    again = write_part(plan, source, tmp_path)
    assert again == tiny.manifest.parts[1]
    assert str(Path.home()).encode() not in (tmp_path / again.onnx).read_bytes()


def test_a_large_graph_keeps_its_weights_beside_it(
    tiny: Exported, frames: list[CameraFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "_INLINE_LIMIT_BYTES", 100_000)
    manifest = export_backbone(tiny.recipe, None, tmp_path)
    ours = Exported(tiny.recipe, tmp_path, manifest)
    for part in manifest.parts:
        file = tmp_path / part.onnx
        assert weights_of(file).stat().st_size > file.stat().st_size
        assert sha256_file(file) == part.onnx_sha256
    assert np.array_equal(ours.pooled(frames[:1], "Stop."), tiny.pooled(frames[:1], "Stop."))
    assert manifest.model_hash == tiny.manifest.model_hash


def test_the_hash_names_everything_that_shapes_features(tiny: Exported, tmp_path: Path) -> None:
    from neon_edge.build import export

    prompt = tiny.manifest.prompt
    hashes = {
        export.model_hash(tiny.recipe, prompt, "00", "00"),
        export.model_hash(tiny.recipe, prompt, "01", "00"),
        export.model_hash(tiny.recipe, prompt, "00", "01"),
        export.model_hash(recut(tiny.recipe, tap="pre_norm"), prompt, "00", "00"),
        export.model_hash(tiny.recipe, msgspec.structs.replace(prompt, pad_id=1), "00", "00"),
    }
    assert len(hashes) == 5
    assert len(tiny.manifest.model_hash) == 16
    assert int(tiny.manifest.model_hash, 16) > 0


def test_a_template_that_fills_the_text_is_refused(tiny_recipe: Recipe) -> None:
    tokenizer = open_tokenizer(open_weights(None, tiny_recipe), tiny_recipe.adaptor)
    with pytest.raises(ConfigWrong, match="no room for an instruction"):
        cut = msgspec.structs.replace(tiny_recipe.text.cut, text_tokens=20)
        tokenised(tiny_recipe.adaptor, tokenizer, cut)
