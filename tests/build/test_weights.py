"""The published layout, read strictly; transformers' own loader is the oracle for names."""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from neon_edge.build import published as published_module
from neon_edge.build.export import write_embeddings
from neon_edge.build.published import INDEX
from neon_edge.build.recipe import Recipe
from neon_edge.build.reference import ReferenceBackbone
from neon_edge.build.tokenizer import open_tokenizer, train_tokenizer
from neon_edge.build.weights import PublishedWeights, all_finite, open_weights
from neon_edge.errors import ConfigWrong
from neon_edge.types import CameraFrame
from tests.build.published_words import config_json

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
NORM = "thinker.model.norm.weight"


def publish(recipe: Recipe, directory: Path) -> Path:
    """Random weights in the layout that the model is published in, in two shards."""
    source = open_weights("random:3", recipe)
    names = sorted(recipe.adaptor.tensors())
    halves = (names[: len(names) // 2], names[len(names) // 2 :])
    places = {}
    for file, half in zip(SHARDS, halves, strict=True):
        tensors = {name: source.tensor(name) for name in half}
        tensors[f"talker.{file}"] = torch.zeros(3)
        save_file(tensors, directory / file)
        places.update(dict.fromkeys(tensors, file))
    (directory / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (directory / "config.json").write_text(json.dumps(config_json(recipe)))
    train_tokenizer(recipe.adaptor.special_tokens).save(str(directory / "tokenizer.json"))
    return directory


@pytest.fixture
def published(tiny_recipe: Recipe, tmp_path: Path) -> Path:
    return publish(tiny_recipe, tmp_path)


def rewrite(directory: Path, name: str, value: torch.Tensor | None) -> None:
    """Change or drop one tensor, in its shard and in the index."""
    index = json.loads((directory / INDEX).read_text())
    file = directory / index["weight_map"].get(name, SHARDS[1])
    tensors = load_file(file)
    tensors.pop(name, None)
    index["weight_map"].pop(name, None)
    if value is not None:
        tensors[name] = value
        index["weight_map"][name] = file.name
    save_file(tensors, file)
    (directory / INDEX).write_text(json.dumps(index))


def test_published_tensors_come_back(published: Path, tiny_recipe: Recipe) -> None:
    weights = open_weights(str(published), tiny_recipe)
    source = open_weights("random:3", tiny_recipe)
    assert weights.origin == str(published)
    for name in tiny_recipe.adaptor.tensors():
        assert torch.equal(weights.tensor(name), source.tensor(name))
    assert open_tokenizer(weights, tiny_recipe.adaptor).token_to_id("<|IMAGE|>") == 508


def test_one_file_of_bfloat16_is_widened(tiny_recipe: Recipe, tmp_path: Path) -> None:
    source = open_weights("random:3", tiny_recipe)
    tensors = {name: source.tensor(name).bfloat16() for name in tiny_recipe.adaptor.tensors()}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config_json(tiny_recipe)))
    weights = open_weights(str(tmp_path), tiny_recipe)
    assert weights.tensor(NORM).dtype == torch.float32
    assert torch.equal(weights.tensor(NORM), tensors[NORM].float())


def test_transformers_loads_the_same_files_to_the_same_features(
    published: Path, tiny_recipe: Recipe, frames: list[CameraFrame]
) -> None:
    from transformers import Qwen2_5OmniThinkerForConditionalGeneration as Thinker
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
        Qwen2VLImageProcessorPil,
    )

    from neon_edge.backbones.qwen_omni_torch import thinker_config
    from neon_edge.backbones.qwen_reference import resized

    reference = ReferenceBackbone(tiny_recipe, str(published))
    (published / "generation_config.json").write_text("{}")
    model = Thinker.from_pretrained(
        published, config=thinker_config(tiny_recipe.text.config), dtype=torch.float32
    ).eval()
    ids = torch.tensor([reference.token_ids(1, "Wave.")])
    seen = Qwen2VLImageProcessorPil()(
        resized(frames[2].image, tiny_recipe.adaptor.image), return_tensors="pt"
    )
    with torch.no_grad():
        result = model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=seen["pixel_values"],
            image_grid_thw=seen["image_grid_thw"],
            output_hidden_states=True,
        )
    theirs = result.hidden_states[-1].mean(dim=1)[0].numpy()
    ours = reference.pooled([frames[2]], "Wave.")
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_the_digest_follows_the_files(published: Path, tiny_recipe: Recipe) -> None:
    before = open_weights(str(published), tiny_recipe).sha256
    assert before == open_weights(str(published), tiny_recipe).sha256
    rewrite(published, NORM, torch.full((128,), 2.0))
    assert open_weights(str(published), tiny_recipe).sha256 != before


def test_random_weights_depend_on_seed_and_name_alone(tiny_recipe: Recipe) -> None:
    one, other = open_weights("random:1", tiny_recipe), open_weights("random:2", tiny_recipe)
    again = open_weights("random:1", tiny_recipe)
    again.tensor("thinker.visual.merger.ln_q.weight")
    name = "thinker.model.layers.3.mlp.down_proj.weight"
    assert torch.equal(one.tensor(name), again.tensor(name))
    assert not torch.equal(one.tensor(name), other.tensor(name))
    assert one.tensor(name).var() == pytest.approx(1 / 352, rel=0.02)
    assert one.sha256 == again.sha256 != other.sha256


def test_shards_of_gigabytes_are_hashed_once(
    published: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = open_weights(str(published), tiny_recipe)
    first = weights.sha256
    monkeypatch.setattr(published_module, "sha256_file", None)
    assert weights.sha256 == first
    monkeypatch.undo()
    rewrite(published, NORM, torch.zeros(128))
    assert open_weights(str(published), tiny_recipe).sha256 != first


def test_weights_of_another_size(published: Path, tiny_recipe: Recipe) -> None:
    rewrite(published, NORM, torch.ones(2048))
    with pytest.raises(ConfigWrong, match=NORM) as caught:
        open_weights(str(published), tiny_recipe)
    assert "(2048,)" in caught.value.facts
    assert "(128,)" in caught.value.facts


def test_a_missing_and_an_unknown_tensor(published: Path, tiny_recipe: Recipe) -> None:
    rewrite(published, "thinker.model.layers.4.input_layernorm.weight", torch.ones(128))
    with pytest.raises(ConfigWrong, match=r"layers\.4\.input_layernorm"):
        open_weights(str(published), tiny_recipe)
    rewrite(published, "thinker.model.layers.4.input_layernorm.weight", None)
    rewrite(published, NORM, None)
    with pytest.raises(ConfigWrong, match=NORM):
        open_weights(str(published), tiny_recipe)


def test_an_index_that_names_another_shard(published: Path, tiny_recipe: Recipe) -> None:
    index = json.loads((published / INDEX).read_text())
    here = index["weight_map"][NORM]
    index["weight_map"][NORM] = next(file for file in SHARDS if file != here)
    (published / INDEX).write_text(json.dumps(index))
    with pytest.raises(ConfigWrong, match=NORM):
        open_weights(str(published), tiny_recipe)


def test_a_missing_shard(published: Path, tiny_recipe: Recipe) -> None:
    (published / SHARDS[1]).unlink()
    with pytest.raises(ConfigWrong, match="shard of the weights is missing") as caught:
        open_weights(str(published), tiny_recipe)
    assert SHARDS[1] in caught.value.facts


@pytest.mark.parametrize("kept", [0, 5, 0.5, 0.999])
def test_a_truncated_shard(published: Path, tiny_recipe: Recipe, kept: float) -> None:
    shard = published / SHARDS[0]
    whole = shard.read_bytes()
    shard.write_bytes(whole[: int(kept if kept >= 1 else kept * len(whole))])
    with pytest.raises(ConfigWrong, match="damaged or cut off") as caught:
        open_weights(str(published), tiny_recipe)
    assert str(shard) in caught.value.facts


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite(published: Path, tiny_recipe: Recipe, bad: float) -> None:
    value = torch.ones(128)
    value[7] = bad
    rewrite(published, NORM, value)
    weights = open_weights(str(published), tiny_recipe)
    with pytest.raises(ConfigWrong, match=NORM) as caught:
        weights.tensor(NORM)
    assert "1 of 128" in caught.value.facts


@pytest.mark.parametrize("given", ["random:", "random:x", "random:-1", "nowhere", "/nowhere/x"])
def test_what_is_no_source_of_weights(tiny_recipe: Recipe, given: str) -> None:
    with pytest.raises(ConfigWrong):
        open_weights(given, tiny_recipe)


def test_an_empty_directory(tiny_recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigWrong, match="no weights in"):
        open_weights(str(tmp_path), tiny_recipe)


def test_a_tokenizer_of_another_model(published: Path, tiny_recipe: Recipe) -> None:
    special = dict(tiny_recipe.adaptor.special_tokens)
    special["<|IMAGE|>"], special["<|VIDEO|>"] = special["<|VIDEO|>"], special["<|IMAGE|>"]
    train_tokenizer(special).save(str(published / "tokenizer.json"))
    with pytest.raises(ConfigWrong, match="not this backbone's") as caught:
        open_tokenizer(open_weights(str(published), tiny_recipe), tiny_recipe.adaptor)
    assert "<|IMAGE|>" in caught.value.facts
    (published / "tokenizer.json").write_text("{")
    with pytest.raises(ConfigWrong, match="no tokenizer can be read"):
        open_tokenizer(open_weights(str(published), tiny_recipe), tiny_recipe.adaptor)


def test_embeddings_too_large_for_half_precision(published: Path, tiny_recipe: Recipe) -> None:
    rewrite(published, tiny_recipe.adaptor.embedding, torch.full((512, 128), 1e5))
    half = Recipe(
        msgspec.structs.replace(tiny_recipe.text, embeddings="float16"), tiny_recipe.directory
    )
    weights = PublishedWeights(published, half, "here")
    with pytest.raises(ConfigWrong, match="does not fit"):
        write_embeddings(half, weights, published / "embeddings.npy")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_number_that_is_none_is_found_anywhere(dtype: torch.dtype, bad: float) -> None:
    value = torch.linspace(-60000, 60000, 1037).to(dtype)
    assert all_finite(value)
    assert all_finite(value[:0])
    for place in (0, 1, 511, 1036):
        spoilt = value.clone()
        spoilt[place] = bad
        assert not all_finite(spoilt)
        assert not all_finite(spoilt.reshape(17, 61))
