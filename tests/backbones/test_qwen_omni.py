"""The family's description of itself, against the published model's figures."""

from __future__ import annotations

import math

import msgspec
import pytest
import torch

from neon_edge.backbones import adaptor_class, families
from neon_edge.build.recipe import load_recipe
from neon_edge.engine.manifest import Prompt
from neon_edge.errors import ConfigWrong
from tests.tiny_backbone import ENGINES, chained

PROMPT = Prompt(
    before=[1] * 16,
    between=[2],
    after=[3] * 5,
    text_tokens=96,
    pad_id=0,
    tokenizer="tokenizer.json",
    embeddings="embeddings.npy",
    separator=[2, 1],
)
VISION_START = {
    "qwen_omni_tiny": "<|vision_bos|>",
    "qwen_vl_tiny": "<|vision_start|>",
    "cosmos_reason2_tiny": "<|vision_start|>",
}


def test_the_real_configuration_has_the_published_size() -> None:
    shapes = load_recipe(ENGINES / "qwen_omni_3b").adaptor.tensors()
    count = {name: math.prod(shape) for name, shape in shapes.items()}
    layers = sum(n for name, n in count.items() if name.startswith("thinker.model.layers."))
    vision = sum(n for name, n in count.items() if name.startswith("thinker.visual."))
    assert layers == pytest.approx(2.775e9, rel=1e-3)
    assert vision == pytest.approx(0.67e9, rel=1e-2)
    assert count["thinker.model.embed_tokens.weight"] == 151936 * 2048
    assert sum(count.values()) == layers + vision + 151936 * 2048 + 2048
    assert shapes["thinker.visual.patch_embed.proj.weight"] == (1280, 3, 2, 14, 14)
    assert shapes["thinker.visual.blocks.31.attn.q.weight"] == (1280, 1280)
    assert shapes["thinker.model.layers.35.self_attn.k_proj.bias"] == (256,)


def test_parts_chain_and_leave_three_tensors_to_the_host() -> None:
    adaptor = load_recipe(ENGINES / "qwen_omni_3b").adaptor
    plans = adaptor.parts(PROMPT)
    assert [plan.name for plan in plans][1:3] == ["decoder_0_5", "decoder_6_11"]
    assert len(plans) == 7
    assert chained(plans) == {"patches", "text_embeds", "pool_weights"}
    shapes = {spec.name: spec.shape for plan in plans for spec in (*plan.inputs, *plan.outputs)}
    assert shapes["patches"] == [256, 1176]
    assert shapes["image_embeds"] == [1, 64, 2048]
    assert shapes["hidden_6"] == [1, 160, 2048]
    assert shapes["pooled"] == [1, 2048]


@pytest.mark.parametrize("name", ["qwen_omni_tiny", "qwen_vl_tiny", "cosmos_reason2_tiny"])
def test_positions_ahead_of_the_instruction_never_move(name: str) -> None:
    from neon_edge.backbones.qwen import QwenFamily
    from neon_edge.backbones.qwen_decoder import DecoderGeometry

    adaptor = load_recipe(ENGINES / name).adaptor
    assert isinstance(adaptor, QwenFamily)
    network, image = adaptor.network, adaptor.image
    token = adaptor.special_tokens[adaptor.template.picture]
    before = [1] * 15 + [adaptor.special_tokens[VISION_START[name]]]
    prompt = msgspec.structs.replace(PROMPT, before=before)
    geometry = DecoderGeometry(image, prompt, "post_norm", token)
    model = network.empty()
    fixed, _, mask = geometry.constants(network, model)
    whole = torch.tensor([geometry.token_ids()])
    padded = network.positions(model, whole, image)
    # Any shorter sequence is a prefix of the padded one, positions included.
    for real in (90, 120, 150):
        positions = network.positions(model, whole[:, :real], image)
        assert torch.equal(positions, padded[:, :, :real])
    tokens = image.picture_tokens + 96
    assert fixed.shape == (1, tokens, adaptor.config.text.head)
    assert torch.isfinite(mask).all()
    assert (mask[0, 0].triu(1) <= -1e38).sum() == tokens * (tokens - 1) / 2


def test_settings_use_the_keys_of_the_published_config() -> None:
    from transformers import Qwen2_5OmniConfig

    settings = load_recipe(ENGINES / "qwen_omni_3b").adaptor.settings()
    published = Qwen2_5OmniConfig().to_dict()
    renamed = {"rope_theta", "mrope_section", "image_token_index"}
    for key in settings:
        *place, last = key.split(".")
        if last in renamed:  # transformers 5 moved these; the files have them in the old place
            continue
        table = published
        for step in place:
            table = table[step]
        assert last in table, key


def test_an_unknown_family_is_named() -> None:
    assert "qwen_omni" in families()
    with pytest.raises(ConfigWrong, match="no backbone family"):
        adaptor_class("quen_omni")
