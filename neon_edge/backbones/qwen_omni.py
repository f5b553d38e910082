"""Qwen2.5-Omni: the thinker's vision tower and text decoder, cut at the pooled last hidden state.

Configuration: transformers `models/qwen2_5_omni/configuration_qwen2_5_omni.py`; chat template: the
`chat_template.json` published with the model, which adds its system message to a lone user's one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from neon_edge.backbones.contract import Cut, PartPlan, Reference, Template, TensorSource
from neon_edge.engine.manifest import ImageGeometry, Prompt, TensorSpec
from neon_edge.errors import ConfigWrong


class Vision(Struct, frozen=True, forbid_unknown_fields=True):
    """The vision tower."""

    depth: int
    hidden_size: int
    num_heads: int
    intermediate_size: int
    patch_size: int
    temporal_patch_size: int
    spatial_merge_size: int
    window_size: int
    """Pixels a side; layers not in `full_attention` look no further."""
    full_attention: list[int]
    image_mean: tuple[float, float, float]
    image_std: tuple[float, float, float]


class Text(Struct, frozen=True, forbid_unknown_fields=True):
    """The text decoder."""

    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    intermediate_size: int
    vocab_size: int
    rms_norm_eps: float
    rope_theta: float
    mrope_section: tuple[int, int, int]
    max_positions: int


class Tokens(Struct, frozen=True, forbid_unknown_fields=True):
    """Ids of the special tokens."""

    end_of_text: int
    im_start: int
    im_end: int
    audio: int
    audio_bos: int
    audio_eos: int
    vision_bos: int
    vision_eos: int
    image: int
    video: int


class QwenOmniConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[config]` of a recipe of this family."""

    vision: Vision
    text: Text
    tokens: Tokens
    position_id_per_seconds: int = 25


class QwenOmni:
    """The family's `Adaptor`."""

    config_type = QwenOmniConfig
    embedding = "thinker.model.embed_tokens.weight"
    pad_token = "<|endoftext|>"
    prefixes = ("thinker.visual.", "thinker.model.")
    template = Template(
        before=(
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\n<|vision_bos|>"
        ),
        separator="<|vision_eos|><|vision_bos|>",
        between="<|vision_eos|>",
        after="<|im_end|>\n<|im_start|>assistant\n",
        picture="<|IMAGE|>",
    )

    def __init__(self, config: QwenOmniConfig, cut: Cut) -> None:
        self.config = config
        self.cut = cut
        self._check()

    @property
    def width(self) -> int:
        """The decoder's hidden size."""
        return self.config.text.hidden_size

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding table."""
        return self.config.text.vocab_size

    @property
    def image(self) -> ImageGeometry:
        """Constants of `Qwen2VLImageProcessor`, at the cut's size."""
        vision = self.config.vision
        return ImageGeometry(
            height=self.cut.height,
            width=self.cut.width,
            patch=vision.patch_size,
            temporal=vision.temporal_patch_size,
            merge=vision.spatial_merge_size,
            mean=list(vision.image_mean),
            std=list(vision.image_std),
            count=self.cut.pictures,
        )

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Spelling and id, as in the published tokenizer."""
        tokens = self.config.tokens
        return {
            "<|endoftext|>": tokens.end_of_text,
            "<|im_start|>": tokens.im_start,
            "<|im_end|>": tokens.im_end,
            "<|AUDIO|>": tokens.audio,
            "<|audio_bos|>": tokens.audio_bos,
            "<|audio_eos|>": tokens.audio_eos,
            "<|vision_bos|>": tokens.vision_bos,
            "<|vision_eos|>": tokens.vision_eos,
            "<|IMAGE|>": tokens.image,
            "<|VIDEO|>": tokens.video,
        }

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Published names and shapes of the vision tower and the decoder, without the LM head."""
        from neon_edge.backbones.qwen_omni_torch import published_shapes

        return published_shapes(self.config)

    def settings(self) -> dict[str, Any]:
        """Head counts, windows, norms and rotary constants, by their keys in config.json."""
        vision, text = self.config.vision, self.config.text
        return {
            "thinker_config.text_config.num_attention_heads": text.num_heads,
            "thinker_config.text_config.num_key_value_heads": text.num_kv_heads,
            "thinker_config.text_config.rms_norm_eps": text.rms_norm_eps,
            "thinker_config.text_config.rope_theta": text.rope_theta,
            "thinker_config.text_config.rope_scaling.mrope_section": list(text.mrope_section),
            "thinker_config.vision_config.num_heads": vision.num_heads,
            "thinker_config.vision_config.window_size": vision.window_size,
            "thinker_config.vision_config.spatial_merge_size": vision.spatial_merge_size,
            "thinker_config.vision_config.fullatt_block_indexes": vision.full_attention,
            "thinker_config.image_token_index": self.config.tokens.image,
        }

    def parts(self, prompt: Prompt) -> list[PartPlan]:
        """`vision`, then the decoder in one graph or in runs of `layers_per_part` layers."""
        from neon_edge.backbones import qwen_omni_torch as network

        vision = PartPlan(
            "vision",
            [
                TensorSpec(
                    "patches", [self.image.patches * self.cut.pictures, self.image.patch_width]
                )
            ],
            [
                TensorSpec(
                    "image_embeds", [1, self.image.picture_tokens * self.cut.pictures, self.width]
                )
            ],
            partial(network.vision_part, self.config, self.image),
        )
        runs = _runs(self.config.text.num_layers, self.cut.layers_per_part)
        return [vision, *(self._decoder(run, len(runs) == 1, prompt) for run in runs)]

    def _decoder(self, run: tuple[int, int], alone: bool, prompt: Prompt) -> PartPlan:
        from neon_edge.backbones import qwen_omni_torch as network

        first, last = run
        pictures = self.image.picture_tokens * self.cut.pictures
        tokens = pictures + prompt.text_tokens
        inputs = [TensorSpec(f"hidden_{first}", [1, tokens, self.width])]
        outputs = [TensorSpec(f"hidden_{last}", [1, tokens, self.width])]
        if first == 0:
            inputs = [
                TensorSpec("image_embeds", [1, pictures, self.width]),
                TensorSpec("text_embeds", [1, prompt.text_tokens, self.width]),
            ]
        if last == self.config.text.num_layers:
            inputs.append(TensorSpec("pool_weights", [1, tokens]))
            outputs = [TensorSpec("pooled", [1, self.width])]
        geometry = network.DecoderGeometry(self.config, self.image, prompt, self.cut.tap)
        return PartPlan(
            "decoder" if alone else f"decoder_{first}_{last - 1}",
            inputs,
            outputs,
            partial(network.decoder_part, geometry, run),
        )

    def reference(self, source: TensorSource) -> Reference:
        """`Qwen2_5OmniThinkerModel`, eager, float32, without its audio tower."""
        from neon_edge.backbones.qwen_omni_reference import QwenOmniReference

        return QwenOmniReference(self.config, self.image, self.cut.tap, source)

    def _check(self) -> None:
        vision, text = self.config.vision, self.config.text
        # Whole windows only: then a windowed layer is one batched attention and needs no mask.
        side = vision.window_size
        if self.cut.height % side or self.cut.width % side:
            raise ConfigWrong(
                "pictures must be cut into whole attention windows",
                f"{self.cut.height}x{self.cut.width} px, windows of {side} px",
                f"use multiples of {side} for height and width",
            )
        head = text.hidden_size // text.num_heads
        if 2 * sum(text.mrope_section) != head:
            raise ConfigWrong(
                "mrope_section does not cover a head",
                f"2 * {sum(text.mrope_section)} is not the head's {head}",
                "it must sum to half of hidden_size / num_heads",
            )
        highest = max(self.special_tokens.values())
        if highest >= text.vocab_size:
            raise ConfigWrong(
                "a special token lies outside the vocabulary",
                f"id {highest}, vocab_size {text.vocab_size}",
                "correct [config.tokens] or vocab_size",
            )


def _runs(layers: int, per_part: int) -> list[tuple[int, int]]:
    step = per_part or layers
    return [(first, min(first + step, layers)) for first in range(0, layers, step)]
