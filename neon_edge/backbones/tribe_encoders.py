"""TRIBE's encoders as graphs: transformers' own layers, geometry folded in.

Attention is written here where the original computes positions while it runs: V-JEPA2's rotary
angles over three axes, and Wav2Vec-BERT's clamped distances, are tables.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.models.llama import modeling_llama
from transformers.models.vjepa2 import modeling_vjepa2
from transformers.models.wav2vec2_bert import modeling_wav2vec2_bert

from neon_edge.backbones.contract import TensorSource
from neon_edge.backbones.tribe import AudioEncoder, TextEncoder, VideoEncoder
from neon_edge.backbones.tribe_configs import audio_config, filled, text_config, video_config

_ROTARY_BASE = 10000.0


class PatchEmbed(nn.Module):
    """patches (tokens, patch_width) → (1, tokens, width)."""

    def __init__(self, convolution: Any) -> None:
        super().__init__()
        # Stride equals kernel: the convolution is one matrix product over flat patches.
        kernel = convolution.weight.reshape(len(convolution.weight), -1)
        self.kernel = nn.Parameter(kernel, requires_grad=False)
        self.bias = convolution.bias

    def forward(self, patches: Tensor) -> Tensor:
        """One product."""
        return linear(patches, self.kernel, self.bias).unsqueeze(0)


class EncoderPart(nn.Module):
    """A run of an encoder's layers over hidden states (1, tokens, width)."""

    layers: nn.ModuleList

    def enter(self, given: Tensor) -> Tensor:
        """What stands ahead of the first layer of this run."""
        return given

    def advance(self, layer: Any, hidden: Tensor) -> Tensor:
        """One layer."""
        raise NotImplementedError

    def leave(self, hidden: Tensor) -> Tensor:
        """What stands behind the last layer of this run."""
        return hidden

    def forward(self, given: Tensor) -> Tensor:
        """The whole run."""
        hidden = self.enter(given)
        for layer in self.layers:
            hidden = self.advance(layer, hidden)
        return self.leave(hidden)


class VideoPart(EncoderPart):
    """A run of V-JEPA2's layers over (1, tokens, width), the norm behind the last.

    The first run takes patches (tokens, patch_width).
    """

    def __init__(self, embed: nn.Module, layers: list[Any], norm: Any, video: VideoEncoder) -> None:
        super().__init__()
        self.embed = embed
        self.layers = nn.ModuleList(layers)
        self.layernorm = norm
        self.cos: Tensor
        self.sin: Tensor
        cos, sin = _three_axes(video)
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)

    def enter(self, given: Tensor) -> Tensor:
        """Patches are embedded ahead of the very first layer."""
        return cast("Tensor", self.embed(given))

    def advance(self, layer: Any, hidden: Tensor) -> Tensor:
        """Attend over the whole window."""
        hidden = hidden + self._attend(layer.attention, layer.norm1(hidden))
        return hidden + cast("Tensor", layer.mlp(layer.norm2(hidden)))

    def leave(self, hidden: Tensor) -> Tensor:
        """Norm, behind the very last."""
        return cast("Tensor", self.layernorm(hidden))

    def _attend(self, attention: Any, hidden: Tensor) -> Tensor:
        split = (*hidden.shape[:2], attention.num_attention_heads, attention.attention_head_size)
        query, key, value = (
            project(hidden).reshape(split).transpose(1, 2)
            for project in (attention.query, attention.key, attention.value)
        )
        mixed, _ = modeling_vjepa2.eager_attention_forward(
            attention, self._turned(query), self._turned(key), value, None, attention.scaling
        )
        return cast("Tensor", attention.proj(mixed.flatten(2)))

    def _turned(self, states: Tensor) -> Tensor:
        pairs = states.reshape(*states.shape[:-1], -1, 2)
        crossed = torch.stack((-pairs[..., 1], pairs[..., 0]), dim=-1).reshape(states.shape)
        return states * self.cos + crossed * self.sin


def _three_axes(video: VideoEncoder) -> tuple[Tensor, Tensor]:
    """Cos and sin (tokens, head): a third of a head for frame, row and column, the rest at rest.

    Numbers are rotated in neighbouring pairs by angles laid out in halves, as the model was
    trained (transformers `rotate_queries_or_keys`).
    """
    side, head = video.crop_size // video.patch_size, video.hidden_size // video.num_heads
    axis = 2 * ((head // 3) // 2)
    ids = torch.arange(video.tokens)
    omega = 1.0 / _ROTARY_BASE ** (torch.arange(axis // 2, dtype=torch.float32) / (axis / 2.0))
    places = (ids // side**2, ids % side**2 // side, ids % side)
    angles = [(place[:, None] * omega).repeat(1, 2) for place in places]
    rest = torch.zeros(video.tokens, head - 3 * axis)
    whole = torch.cat([*angles, rest], dim=1)
    return whole.cos(), whole.sin()


class AudioPart(EncoderPart):
    """A run of conformer blocks over (1, tokens, width); the first takes rows of features."""

    def __init__(self, projection: Any, layers: list[Any], audio: AudioEncoder) -> None:
        super().__init__()
        self.feature_projection = projection
        self.layers = nn.ModuleList(layers)
        place = torch.arange(audio.tokens)
        distance = (place[None] - place[:, None]).clamp(
            -audio.left_positions, audio.right_positions
        )
        self.distance: Tensor
        self.register_buffer("distance", (distance + audio.left_positions)[None, None])

    def enter(self, given: Tensor) -> Tensor:
        """Rows are projected ahead of the very first block."""
        if self.feature_projection is None:
            return given
        hidden, _ = self.feature_projection(given)
        return cast("Tensor", hidden)

    def advance(self, layer: Any, hidden: Tensor) -> Tensor:
        """One conformer block."""
        hidden = hidden + 0.5 * layer.ffn1(layer.ffn1_layer_norm(hidden))
        hidden = hidden + self._attend(layer.self_attn, layer.self_attn_layer_norm(hidden))
        hidden = hidden + layer.conv_module(hidden)
        hidden = hidden + 0.5 * layer.ffn2(layer.ffn2_layer_norm(hidden))
        return cast("Tensor", layer.final_layer_norm(hidden))

    def _attend(self, attention: Any, hidden: Tensor) -> Tensor:
        split = (*hidden.shape[:2], attention.num_heads, attention.head_size)
        query, key, value = (
            project(hidden).reshape(split).transpose(1, 2)
            for project in (attention.linear_q, attention.linear_k, attention.linear_v)
        )
        # One score a distance, then each pair takes its own: a table of all pairs would be a
        # hundred megabytes a layer.
        by_distance = torch.matmul(query, attention.distance_embedding.weight.transpose(0, 1))
        places = self.distance.expand(1, attention.num_heads, -1, -1)
        bias = torch.gather(by_distance, 3, places) * attention.scaling
        mixed, _ = modeling_wav2vec2_bert.eager_attention_forward(
            attention, query, key, value, None, attention.scaling, position_bias=bias
        )
        return cast("Tensor", attention.linear_out(mixed.flatten(2)))


class TextPart(EncoderPart):
    """A run of LLaMA's layers over hidden states (1, tokens, width), the norm behind the last."""

    def __init__(self, layers: list[Any], norm: Any, rotary: Any, tokens: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = norm
        cos, sin = rotary(torch.zeros(1), torch.arange(tokens)[None])
        # Half of the lowest number: far below any score, and no infinity when it is added to one.
        never = torch.finfo(torch.float32).min / 2
        self.cos: Tensor
        self.sin: Tensor
        self.mask: Tensor
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)
        self.register_buffer("mask", torch.full((tokens, tokens), never).triu(1)[None, None])

    def advance(self, layer: Any, hidden: Tensor) -> Tensor:
        """One layer under the causal mask."""
        turns = (self.cos, self.sin)
        made = layer(hidden, attention_mask=self.mask, position_embeddings=turns)
        return cast("Tensor", made)

    def leave(self, hidden: Tensor) -> Tensor:
        """Norm, behind the very last."""
        return cast("Tensor", self.norm(hidden))


def video_part(video: VideoEncoder, run: tuple[int, int], source: TensorSource) -> EncoderPart:
    """Layers `run[0]` up to, not including, `run[1]`; the predictor is left out."""
    with torch.device("meta"):
        encoder = modeling_vjepa2.VJEPA2Encoder(video_config(video))
    embed: nn.Module = nn.Identity()
    if run[0] == 0:
        patches = encoder.embeddings.patch_embeddings
        embed = PatchEmbed(filled(patches, "encoder.embeddings.patch_embeddings.", source).proj)
    layers = [filled(encoder.layer[i], f"encoder.layer.{i}.", source) for i in range(*run)]
    ends = run[1] == video.num_layers
    norm = filled(encoder.layernorm, "encoder.layernorm.", source) if ends else nn.Identity()
    return VideoPart(embed, layers, norm, video).eval()


def audio_part(audio: AudioEncoder, run: tuple[int, int], source: TensorSource) -> EncoderPart:
    """Blocks `run[0]` up to, not including, `run[1]`, the projection ahead of the first."""
    with torch.device("meta"):
        model = modeling_wav2vec2_bert.Wav2Vec2BertModel(audio_config(audio))
    projection = None
    if run[0] == 0:
        projection = filled(model.feature_projection, "feature_projection.", source)
    blocks = model.encoder.layers
    layers = [filled(blocks[i], f"encoder.layers.{i}.", source) for i in range(*run)]
    return AudioPart(projection, layers, audio).eval()


def text_part(text: TextEncoder, run: tuple[int, int], source: TensorSource) -> EncoderPart:
    """Layers `run[0]` up to, not including, `run[1]`, with their weights."""
    config = text_config(text)
    with torch.device("meta"):
        model = modeling_llama.LlamaModel(config)
    layers = [filled(model.layers[i], f"model.layers.{i}.", source) for i in range(*run)]
    ends = run[1] == text.num_layers
    norm = filled(model.norm, "model.norm.", source) if ends else nn.Identity()
    return TextPart(layers, norm, modeling_llama.LlamaRotaryEmbedding(config), text.tokens).eval()
