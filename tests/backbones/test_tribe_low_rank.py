"""TRIBE v2's fusion against x-transformers itself, and its recipes' sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from msgspec import structs

from neon_edge.backbones import tribe_low_rank as low_rank
from neon_edge.backbones.tribe import LowRank
from neon_edge.build.recipe import load_recipe
from neon_edge.errors import ConfigWrong
from tests.backbones.tribe_bench import TINY, Stored, awake
from tests.tiny_backbone import ENGINES

FUSION = LowRank(384, 3, 6, 32, 128, 8)
CONFIG = structs.replace(TINY, low_rank=FUSION)


class Published(torch.nn.Module):
    """`FmriEncoderModel` up to its `low_rank_head`, in its own words."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        widths = {name: 2 * CONFIG.widths[name] for name in low_rank.ORDER}
        self.projectors = torch.nn.ModuleDict(
            {name: torch.nn.Linear(width, 128) for name, width in widths.items()}
        )
        self.time_pos_embed = torch.nn.Parameter(torch.zeros(1, 32, 384))
        self.encoder = encoder
        self.low_rank_head = torch.nn.Linear(384, 128, bias=False)

    def forward(self, steps: list[torch.Tensor], present: list[float]) -> torch.Tensor:
        """Mean over time of what the head reads."""
        given = zip(self.projectors.values(), steps, present, strict=True)
        hidden = torch.cat([project(tensor) * there for project, tensor, there in given], dim=-1)
        hidden = hidden + self.time_pos_embed[:, : hidden.shape[1]]
        read: torch.Tensor = self.low_rank_head(self.encoder(hidden)).mean(dim=1)
        return read


@pytest.fixture(scope="module")
def published() -> Any:
    package = pytest.importorskip("x_transformers")
    # As neuraltrain 0.0.2 `models/transformer.py` calls it.
    encoder = package.Encoder(
        dim=384, depth=3, heads=6, attn_dim_head=64, cross_attend=False, attn_flash=False,
        attn_dropout=0.0, ff_mult=4, ff_dropout=0.0, use_scalenorm=True, use_rmsnorm=False,
        rel_pos_bias=False, alibi_pos_bias=False, rotary_pos_emb=True, rotary_xpos=False,
        residual_attn=False, scale_residual=True, layer_dropout=0.0,
    )  # fmt: skip
    return awake(Published(encoder), 0)


@pytest.mark.parametrize("present", [[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
def test_the_graph_equals_x_transformers(published: Any, present: list[float]) -> None:
    part = low_rank.low_rank_part(CONFIG, Stored(published))
    draw = torch.Generator().manual_seed(1)
    steps = [
        torch.randn((1, 8, 2 * CONFIG.widths[name]), generator=draw) for name in low_rank.ORDER
    ]
    ours = part(*steps, torch.tensor([present])).numpy()
    theirs = published(steps, present).numpy()
    assert np.abs(ours - theirs).max() / np.abs(theirs).max() <= 1e-5


def test_published_names(published: Any) -> None:
    theirs = {name: tuple(p.shape) for name, p in published.named_parameters()}
    assert low_rank.low_rank_shapes(CONFIG) == theirs


def test_groups_are_those_of_group_mean() -> None:
    fusion = LowRank()
    assert fusion.bounds(40) == [(20, 30), (30, 41)]
    assert fusion.bounds(24) == [(12, 18), (18, 25)]
    assert fusion.bounds(28) == [(14, 21), (21, 29)]
    with pytest.raises(ConfigWrong, match="group of layers is empty"):
        fusion.bounds(2)


def test_the_real_sizes() -> None:
    adaptor = load_recipe(ENGINES / "tribev2_low_rank").adaptor
    assert adaptor.width == 2048
    shapes = adaptor.tensors()
    assert shapes["fusion.low_rank_head.weight"] == (2048, 1152)
    assert shapes["fusion.projectors.text.weight"] == (384, 6144)
    assert shapes["fusion.projectors.audio.weight"] == (384, 2048)
    assert shapes["fusion.projectors.video.weight"] == (384, 2816)
    count = {
        source: sum(int(np.prod(s)) for n, s in shapes.items() if n.startswith(f"{source}."))
        for source in ("video", "audio", "text")
    }
    assert count["video"] / 1e9 == pytest.approx(1.01, rel=1e-2)
    assert count["audio"] / 1e9 == pytest.approx(0.58, rel=1e-2)
    assert count["text"] / 1e9 == pytest.approx(3.21, rel=1e-2)
