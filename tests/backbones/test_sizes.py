"""Every full-size recipe describes the published model: parameters, names, shapes, settings."""

from __future__ import annotations

import math
from collections import Counter

import msgspec
import pytest

from neon_edge.build.recipe import load_recipe
from neon_edge.engine.manifest import Prompt
from neon_edge.errors import ConfigWrong
from tests.tiny_backbone import ENGINES, chained

# Billions in the decoder's layers and in the tower: transformers' classes at the published sizes.
SIZES = {
    "qwen_vl_3b": ("model.layers.", 2.775, "visual.", 0.668),
    "qwen_vl_7b": ("model.layers.", 6.526, "visual.", 0.676),
    "qwen_omni_7b": ("thinker.model.layers.", 6.526, "thinker.visual.", 0.676),
    "cosmos_reason2_2b": ("model.language_model.layers.", 1.409, "model.visual.", 0.407),
    "cosmos_reason2_8b": ("model.language_model.layers.", 6.946, "model.visual.", 0.576),
}
PROMPT = Prompt(
    before=[1] * 5,
    between=[2],
    after=[3] * 5,
    text_tokens=96,
    pad_id=0,
    tokenizer="tokenizer.json",
    embeddings="embeddings.npy",
)


@pytest.mark.parametrize("name", SIZES)
def test_parameters(name: str) -> None:
    shapes = load_recipe(ENGINES / name).adaptor.tensors()
    count: Counter[str] = Counter()
    layers, decoder, visual, tower = SIZES[name]
    for tensor, shape in shapes.items():
        for prefix in (layers, visual):
            count[prefix] += math.prod(shape) * tensor.startswith(prefix)
    assert count[layers] == pytest.approx(decoder * 1e9, rel=1e-3)
    assert count[visual] == pytest.approx(tower * 1e9, rel=5e-3)


def test_deepstack_features_reach_the_parts_that_hold_their_layers() -> None:
    recipe = load_recipe(ENGINES / "cosmos_reason2_8b")
    cut = msgspec.structs.replace(recipe.text.cut, layers_per_part=2)
    plans = type(recipe.adaptor)(recipe.text.config, cut).parts(PROMPT)
    assert len(plans) == 19
    assert chained(plans) == {"patches", "text_embeds", "pool_weights"}
    wanted = [[spec.name for spec in plan.inputs] for plan in plans[1:4]]
    assert wanted == [
        ["image_embeds", "text_embeds", "deepstack_0", "deepstack_1"],
        ["hidden_2", "deepstack_2"],
        ["hidden_4"],
    ]
    assert plans[0].outputs[3].shape == [1, 49, 4096]


def test_shapes_of_the_published_files() -> None:
    cosmos = load_recipe(ENGINES / "cosmos_reason2_2b").adaptor.tensors()
    assert cosmos["model.visual.pos_embed.weight"] == (2304, 1024)
    assert cosmos["model.visual.deepstack_merger_list.2.norm.weight"] == (4096,)
    assert cosmos["model.visual.blocks.23.attn.qkv.weight"] == (3072, 1024)
    assert cosmos["model.language_model.layers.27.self_attn.q_norm.weight"] == (128,)
    assert cosmos["model.language_model.layers.0.self_attn.k_proj.weight"] == (1024, 2048)
    seven = load_recipe(ENGINES / "qwen_vl_7b").adaptor.tensors()
    assert seven["visual.blocks.0.attn.qkv.weight"] == (3840, 1280)
    assert seven["visual.merger.mlp.2.weight"] == (3584, 5120)
    assert seven["model.layers.27.self_attn.v_proj.bias"] == (512,)
    assert seven["model.embed_tokens.weight"] == (152064, 3584)


def test_a_picture_is_cut_into_whole_tokens() -> None:
    recipe = load_recipe(ENGINES / "cosmos_reason2_tiny")
    import msgspec

    cut = msgspec.structs.replace(recipe.text.cut, width=240)
    with pytest.raises(ConfigWrong, match="whole tokens") as caught:
        type(recipe.adaptor)(recipe.text.config, cut)
    assert "multiples of 32" in caught.value.fix
