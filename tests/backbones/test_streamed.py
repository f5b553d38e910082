"""A streamed model against the same model in one piece."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neon_edge.backbones.streamed import stream


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleList([nn.Linear(16, 16), nn.Linear(16, 16)])
        self.norm = nn.LayerNorm(16)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.inner:
            x = x + torch.tanh(layer(x))
        return self.norm(x)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 16)
        self.blocks = nn.ModuleList([Block() for _ in range(4)])
        self.norm = nn.LayerNorm(16)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def resident(model: nn.Module) -> set[str]:
    return {name for name, tensor in model.state_dict().items() if not tensor.is_meta}


def test_the_same_numbers_with_one_block_at_a_time() -> None:
    torch.manual_seed(0)
    whole = Model().eval()
    stored = whole.state_dict()
    with torch.device("meta"):
        empty = Model().eval()
    reads: list[str] = []

    def read(name: str) -> Tensor:
        reads.append(name)
        return stored[name].clone()

    model = stream(empty, read)
    assert resident(model) == {"norm.weight", "norm.bias"}
    most: list[int] = []
    for block in model.blocks:
        block.inner[1].register_forward_hook(lambda *_: most.append(len(resident(model))))
    ids = torch.arange(12).reshape(2, 6)
    with torch.no_grad():
        assert torch.equal(model(ids), whole(ids))
        assert torch.equal(model(ids + 5), whole(ids + 5)), "a second pass reads them again"
    assert most == [6 + 2] * 8, "one block and what stays"
    assert resident(model) == {"norm.weight", "norm.bias"}
    assert len(reads) == 2 + 2 * (1 + 4 * 6)
    assert sorted(set(reads)) == sorted(stored)
