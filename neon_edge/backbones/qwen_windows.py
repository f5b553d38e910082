"""Qwen2.5's vision tower as one graph: attention within windows is one batched attention.

Written here rather than traced from transformers because the original loops over windows whose
lengths it asks tensors for while it runs.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as modeling
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

from neon_edge.engine.manifest import ImageGeometry


class WindowedVision(nn.Module):
    """patches (P, patch_width) → image_embeds (1, P / merge², width)."""

    def __init__(self, tower: Any, image: ImageGeometry) -> None:
        super().__init__()
        vision = tower.config
        self._unit = image.merge * image.merge
        self._full = set(vision.fullatt_block_indexes)
        self._steps = image.steps
        # A window in patches; every window of every step is whole (the adaptor sees to it).
        side = vision.window_size // image.patch
        self._windows = image.steps * image.patches // (side * side)
        kernel = tower.patch_embed.proj.weight
        # Stride equals kernel: the convolution is one matrix product over flat patches.
        self.patch_kernel = nn.Parameter(kernel.reshape(len(kernel), -1), requires_grad=False)
        self.blocks = tower.blocks
        self.merger = tower.merger
        grid = torch.tensor([[1, *image.grid]] * image.steps)
        order, _ = get_vision_window_index(grid, image.merge, vision.window_size, image.patch)
        rotary = type(tower.rotary_pos_emb)(vision)
        positions = get_vision_position_ids(grid, image.merge)
        cos, sin = (self._ordered(table, order) for table in rotary(kernel, positions))
        self.order: Tensor
        self.back: Tensor
        self.cos: Tensor
        self.sin: Tensor
        self.register_buffer("order", order)
        self.register_buffer("back", torch.argsort(order))
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)

    def forward(self, patches: Tensor) -> Tensor:
        """Embed, attend within windows or pictures, merge, and put back in raster order."""
        hidden = nn.functional.linear(patches, self.patch_kernel)
        hidden = self._ordered(hidden, self.order)
        for index, block in enumerate(self.blocks):
            segments = self._steps if index in self._full else self._windows
            normed = block.norm1(hidden)
            hidden = hidden + attended(block.attn, normed, self.cos, self.sin, segments)
            hidden = hidden + block.mlp(block.norm2(hidden))
        return cast("Tensor", self.merger(hidden)).index_select(0, self.back).unsqueeze(0)

    def _ordered(self, rows: Tensor, order: Tensor) -> Tensor:
        width = rows.shape[-1]
        return rows.reshape(-1, self._unit, width).index_select(0, order).reshape(-1, width)


def attended(attention: Any, hidden: Tensor, cos: Tensor, sin: Tensor, segments: int) -> Tensor:
    """A tower's attention over rows (P, width) in `segments` runs of equal length."""
    query, key, value = _projected(attention, hidden)
    query, key = modeling.apply_rotary_pos_emb_vision(query, key, cos, sin)
    batch = (segments, -1, attention.num_heads, attention.head_dim)
    query, key, value = (states.reshape(batch).transpose(1, 2) for states in (query, key, value))
    mixed, _ = modeling.eager_attention_forward(
        attention, query, key, value, None, scaling=attention.scaling
    )
    return cast("Tensor", attention.proj(mixed.reshape(len(hidden), -1)))


def _projected(attention: Any, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value (P, heads, head), from one Linear or from three."""
    split = (len(hidden), attention.num_heads, attention.head_dim)
    if hasattr(attention, "qkv"):
        rows = attention.qkv(hidden).reshape(len(hidden), 3, *split[1:])
        return rows[:, 0], rows[:, 1], rows[:, 2]
    return (
        attention.q(hidden).reshape(split),
        attention.k(hidden).reshape(split),
        attention.v(hidden).reshape(split),
    )
