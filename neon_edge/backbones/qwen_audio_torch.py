"""Qwen2.5-Omni's audio tower as one graph: chunks of the spectrogram are a batch.

Written here rather than traced from transformers because the original asks chunk lengths for
their values while it runs; whole chunks only, so that none needs a mask.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers.models.qwen2_5_omni import modeling_qwen2_5_omni as modeling


class AudioPart(nn.Module):
    """mel (mels, frames) → audio_embeds (1, frames / 4, width)."""

    def __init__(self, tower: Any, chunks: int) -> None:
        super().__init__()
        self._chunks = chunks
        self.conv1 = tower.conv1
        self.conv2 = tower.conv2
        self.layers = tower.layers
        self.ln_post = tower.ln_post
        self.proj = tower.proj
        settings = tower.config
        table = modeling.SinusoidsPositionEmbedding(settings.max_source_positions, settings.d_model)
        self.places: Tensor
        self.register_buffer("places", table.positional_embedding[: tower.n_window])

    def forward(self, mel: Tensor) -> Tensor:
        """Halve in time, attend within each chunk, average pairs, project."""
        pieces = mel.reshape(mel.shape[0], self._chunks, -1).transpose(0, 1)
        hidden = gelu(self.conv2(gelu(self.conv1(pieces)))).transpose(1, 2) + self.places
        for layer in self.layers:
            hidden = hidden + self._attend(layer.self_attn, layer.self_attn_layer_norm(hidden))
            wide = layer.activation_fn(layer.fc1(layer.final_layer_norm(hidden)))
            hidden = hidden + layer.fc2(wide)
        pairs = hidden.reshape(1, -1, 2, hidden.shape[-1])
        return cast("Tensor", self.proj(self.ln_post((pairs[:, :, 0] + pairs[:, :, 1]) / 2)))

    def _attend(self, attention: Any, hidden: Tensor) -> Tensor:
        split = (*hidden.shape[:2], attention.num_heads, attention.head_dim)
        query, key, value = (
            project(hidden).reshape(split).transpose(1, 2)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        mixed, _ = modeling.eager_attention_forward(
            attention, query, key, value, None, scaling=attention.scaling
        )
        return cast("Tensor", attention.out_proj(torch.flatten(mixed, 2)))
