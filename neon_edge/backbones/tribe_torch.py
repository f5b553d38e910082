"""TRIBE's encoders and fusion as graphs: transformers' own layers, geometry folded in.

Attention is written here where the original computes positions while it runs: V-JEPA2's rotary
angles over three axes, and Wav2Vec-BERT's clamped distances, are tables.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear
from transformers.models.llama import modeling_llama
from transformers.models.vjepa2 import modeling_vjepa2
from transformers.models.wav2vec2_bert import modeling_wav2vec2_bert

from neon_edge.backbones.contract import TensorSource
from neon_edge.backbones.tribe import (
    MODALITIES,
    AudioEncoder,
    TextEncoder,
    TribeConfig,
    VideoEncoder,
)
from neon_edge.backbones.tribe_configs import audio_config, filled, text_config, video_config

_ROTARY_BASE = 10000.0
_FUSION_WIDENS = 4


class VideoPart(nn.Module):
    """patches (tokens, patch_width) → (1, tokens, width), the encoder's last hidden state."""

    def __init__(self, encoder: Any, video: VideoEncoder) -> None:
        super().__init__()
        convolution = encoder.embeddings.patch_embeddings.proj
        # Stride equals kernel: the convolution is one matrix product over flat patches.
        kernel = convolution.weight.reshape(len(convolution.weight), -1)
        self.patch_kernel = nn.Parameter(kernel, requires_grad=False)
        self.patch_bias = convolution.bias
        self.layer = encoder.layer
        self.layernorm = encoder.layernorm
        self.cos: Tensor
        self.sin: Tensor
        cos, sin = _three_axes(video)
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)

    def forward(self, patches: Tensor) -> Tensor:
        """Embed, attend over the whole window, norm."""
        hidden = linear(patches, self.patch_kernel, self.patch_bias).unsqueeze(0)
        for layer in self.layer:
            hidden = hidden + self._attend(layer.attention, layer.norm1(hidden))
            hidden = hidden + layer.mlp(layer.norm2(hidden))
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


class AudioPart(nn.Module):
    """rows (1, tokens, features) → (1, tokens, width), the encoder's last hidden state."""

    def __init__(self, model: Any, audio: AudioEncoder) -> None:
        super().__init__()
        self.feature_projection = model.feature_projection
        self.layers = model.encoder.layers
        place = torch.arange(audio.tokens)
        distance = (place[None] - place[:, None]).clamp(
            -audio.left_positions, audio.right_positions
        )
        self.distance: Tensor
        self.register_buffer("distance", (distance + audio.left_positions)[None, None])

    def forward(self, rows: Tensor) -> Tensor:
        """Conformer blocks over the whole window."""
        hidden, _ = self.feature_projection(rows)
        for layer in self.layers:
            hidden = hidden + 0.5 * layer.ffn1(layer.ffn1_layer_norm(hidden))
            hidden = hidden + self._attend(layer.self_attn, layer.self_attn_layer_norm(hidden))
            hidden = hidden + layer.conv_module(hidden)
            hidden = hidden + 0.5 * layer.ffn2(layer.ffn2_layer_norm(hidden))
            hidden = layer.final_layer_norm(hidden)
        return cast("Tensor", hidden)

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


class TextPart(nn.Module):
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

    def forward(self, hidden: Tensor) -> Tensor:
        """Layer after layer."""
        for layer in self.layers:
            hidden = layer(
                hidden, attention_mask=self.mask, position_embeddings=(self.cos, self.sin)
            )
        return cast("Tensor", self.norm(hidden))


class FusionPart(nn.Module):
    """Features of the kept modalities and `valid` (1, tokens) → pooled (1, width).

    Parameters are named as upstream's `TribeMultimodalBackbone` names them.
    """

    def __init__(self, config: TribeConfig) -> None:
        super().__init__()
        fusion, width = config.fusion, config.fusion.hidden_size
        kept = config.kept()
        self._heads = fusion.num_heads
        self._names = [name for name in MODALITIES if kept[name]]
        self.projectors = nn.ModuleDict(
            {
                name: nn.ModuleDict(
                    {
                        "net": nn.Sequential(
                            nn.Linear(config.widths[name], width), nn.LayerNorm(width)
                        )
                    }
                )
                for name in MODALITIES
            }
        )
        block = nn.TransformerEncoderLayer(
            width, fusion.num_heads, width * _FUSION_WIDENS, batch_first=True, norm_first=True
        )
        encoder = nn.TransformerEncoder(block, fusion.num_layers, enable_nested_tensor=False)
        self.fusion = nn.ParameterDict(
            {"time_pos_embed": nn.Parameter(torch.zeros(1, fusion.max_seq_len, width))}
        )
        self.fusion_encoder = encoder
        self.fusion_modality = nn.Embedding(len(MODALITIES), width)
        self.fusion_norm = nn.LayerNorm(width)
        for name in self._names:
            self.register_buffer(f"{name}_places", torch.tensor(kept[name]))

    def forward(self, *tensors: Tensor) -> Tensor:
        """Project, name, place, attend, norm, and take the mean of what counts."""
        pieces = []
        for name, features in zip(self._names, tensors[:-1], strict=True):
            chosen = features.index_select(1, cast("Tensor", getattr(self, f"{name}_places")))
            net = cast("nn.ModuleDict", self.projectors[name])["net"]
            kind = self.fusion_modality.weight[MODALITIES.index(name)]
            pieces.append(gelu(net(chosen)) + kind)
        hidden = torch.cat(pieces, dim=1)
        hidden = hidden + self.fusion["time_pos_embed"][:, : hidden.shape[1]]
        valid = tensors[-1]
        mask = ((1.0 - valid) * (torch.finfo(torch.float32).min / 2))[:, None, None]
        for block in self.fusion_encoder.layers:
            hidden = hidden + self._attend(block.self_attn, block.norm1(hidden), mask)
            hidden = hidden + block.linear2(gelu(block.linear1(block.norm2(hidden))))
        weights = (valid / valid.sum(dim=1, keepdim=True)).unsqueeze(1)
        return torch.matmul(weights, self.fusion_norm(hidden)).squeeze(1)

    def _attend(self, attention: Any, hidden: Tensor, mask: Tensor) -> Tensor:
        width = hidden.shape[-1]
        mixed = linear(hidden, attention.in_proj_weight, attention.in_proj_bias)
        split = (*hidden.shape[:2], 3, self._heads, width // self._heads)
        query, key, value = mixed.reshape(split).permute(2, 0, 3, 1, 4).unbind(0)
        scores = torch.matmul(query, key.transpose(-1, -2)) * (width // self._heads) ** -0.5
        seen = torch.matmul(torch.softmax(scores + mask, dim=-1), value)
        return cast("Tensor", attention.out_proj(seen.transpose(1, 2).flatten(2)))


_UPSTREAM = {
    "fusion_encoder.": "fusion.encoder.",
    "fusion_modality.": "fusion.modality_embed.",
    "fusion_norm.": "fusion.output_norm.",
}


def upstream_name(name: str) -> str:
    """A parameter of `FusionPart` as `TribeMultimodalBackbone` names it."""
    for ours, theirs in _UPSTREAM.items():
        if name.startswith(ours):
            return theirs + name[len(ours) :]
    return name


def video_part(video: VideoEncoder, source: TensorSource) -> nn.Module:
    """V-JEPA2's encoder with its weights; the predictor is left out."""
    with torch.device("meta"):
        encoder = modeling_vjepa2.VJEPA2Encoder(video_config(video))
    return VideoPart(filled(encoder, "encoder.", source), video).eval()


def audio_part(audio: AudioEncoder, source: TensorSource) -> nn.Module:
    """Wav2Vec-BERT with its weights."""
    with torch.device("meta"):
        model = modeling_wav2vec2_bert.Wav2Vec2BertModel(audio_config(audio))
    return AudioPart(filled(model, "", source), audio).eval()


def text_part(text: TextEncoder, run: tuple[int, int], source: TensorSource) -> nn.Module:
    """Layers `run[0]` up to, not including, `run[1]`, with their weights."""
    config = text_config(text)
    with torch.device("meta"):
        model = modeling_llama.LlamaModel(config)
    layers = [filled(model.layers[i], f"model.layers.{i}.", source) for i in range(*run)]
    ends = run[1] == text.num_layers
    norm = filled(model.norm, "model.norm.", source) if ends else nn.Identity()
    return TextPart(layers, norm, modeling_llama.LlamaRotaryEmbedding(config), text.tokens).eval()


def fusion_part(config: TribeConfig, source: TensorSource) -> nn.Module:
    """Projectors and transformer with the weights of a Neon checkpoint."""
    with torch.device("meta"):
        part = FusionPart(config)
    state = {name: source.tensor(upstream_name(name)) for name, _ in part.named_parameters()}
    part.load_state_dict(state, strict=False, assign=True)
    for name, places in config.kept().items():
        if places:
            setattr(part, f"{name}_places", torch.tensor(places))
    return part.eval().requires_grad_(False)
