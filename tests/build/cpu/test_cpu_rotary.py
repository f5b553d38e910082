"""Rotations become one operator where they are some, and only there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from neon_edge.build.cpu.rotary import fuse_rotations
from tests.build.cpu.attending import Shape, drawn, exported, turned
from tests.build.quantise.graphs import run

SHAPE = Shape(tokens=6, heads=3, width=8)
Turn = Callable[[Tensor, Tensor, Tensor], Tensor]


class Turning(nn.Module):
    """x (1, tokens, heads × width), each head rotated by `turn`."""

    def __init__(self, turn: Turn, heads_first: bool) -> None:
        super().__init__()
        angles = torch.rand(
            SHAPE.tokens, SHAPE.width // 2, generator=torch.Generator().manual_seed(0)
        )
        both = torch.cat([angles, angles], dim=-1) * 6
        self.turn, self.heads_first = turn, heads_first
        self.cos: Tensor
        self.sin: Tensor
        self.register_buffer("cos", both.cos())
        self.register_buffer("sin", both.sin())

    def forward(self, x: Tensor) -> Tensor:
        heads = x.view(1, SHAPE.tokens, SHAPE.heads, SHAPE.width)
        if self.heads_first:
            made = self.turn(heads.transpose(1, 2), self.cos[None, None], self.sin[None, None])
            return made.transpose(1, 2).reshape(x.shape)
        return self.turn(heads[0], self.cos[:, None], self.sin[:, None]).reshape(x.shape)


def backwards(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat([x[..., half:], -x[..., :half]], dim=-1) * sin


def shifted(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """A rotation by another split than the half."""
    return x * cos + torch.cat([-x[..., 2:], x[..., :2]], dim=-1) * sin


def of_another(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    other = x * 2
    return x * cos + torch.cat([-other[..., half:], other[..., :half]], dim=-1) * sin


def _other_way_round(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return sin * torch.cat([-x[..., half:], x[..., :half]], dim=-1) + cos * x


@pytest.mark.parametrize("heads_first", [True, False], ids=["decoder", "vision"])
@pytest.mark.parametrize("turn", [turned, _other_way_round])
def test_a_rotation_is_torchs(turn: Turn, heads_first: bool, tmp_path: Path) -> None:
    module = Turning(turn, heads_first)
    model = exported(module, SHAPE, tmp_path / "one.onnx")
    assert fuse_rotations(model) == 1
    assert not {"Neg", "Concat", "Slice"} & {node.op_type for node in model.graph.node}
    x = drawn(SHAPE)
    wanted = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(run(model, x=x)[0], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("heads_first", [True, False], ids=["decoder", "vision"])
@pytest.mark.parametrize("turn", [backwards, shifted, of_another])
def test_what_is_no_rotation_is_left_alone(turn: Turn, heads_first: bool, tmp_path: Path) -> None:
    model = exported(Turning(turn, heads_first), SHAPE, tmp_path / "one.onnx")
    before = [node.op_type for node in model.graph.node]
    assert fuse_rotations(model) == 0
    assert [node.op_type for node in model.graph.node] == before


def test_a_table_for_each_head_is_left_alone(tmp_path: Path) -> None:
    model = exported(Turning(turned, True), SHAPE, tmp_path / "one.onnx")
    _widen(model)
    assert fuse_rotations(model) == 0


def _widen(model: onnx.ModelProto) -> None:
    """Tables (1, 1, tokens, width) → (1, heads, tokens, width)."""
    for tensor in model.graph.initializer:
        if list(tensor.dims)[-2:] == [SHAPE.tokens, SHAPE.width]:
            value = numpy_helper.to_array(tensor).reshape(1, 1, SHAPE.tokens, SHAPE.width)
            tensor.CopyFrom(numpy_helper.from_array(value.repeat(SHAPE.heads, 1), tensor.name))
