"""PyTorch's exporter spells out all of its operators anew at every export: here, once a process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import pytest
from torch.onnx._internal.exporter import _registration


@pytest.fixture(scope="session", autouse=True)
def operators_once() -> Iterator[None]:
    """A third of an export of a small graph; nothing of ours adds operators to that registry."""
    registry = _registration.ONNXRegistry
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "from_torchlib", staticmethod(lru_cache(registry.from_torchlib)))
        yield
