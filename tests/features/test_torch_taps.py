"""Our 8-bit filters against torch's own, level for level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from neon_edge.features.resize import Resizer
from neon_edge.features.torch_taps import BicubicTaps, BilinearTaps
from neon_edge.types import UInt8
from tests.tiny_backbone import street


def noise(height: int, width: int) -> UInt8:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


PICTURES = {
    "street": street()[0],
    "camera": noise(480, 640),
    "smaller": noise(100, 75),
    "wide": noise(40, 640),
    "black and white": np.where(noise(272, 272) > 127, np.uint8(255), np.uint8(0)),
}


@pytest.mark.parametrize("size", [(224, 224), (112, 336), (448, 448)])
@pytest.mark.parametrize(("mode", "taps"), [("bicubic", BicubicTaps), ("bilinear", BilinearTaps)])
@pytest.mark.parametrize("name", PICTURES)
def test_every_level_is_torchs(name: str, mode: str, taps: Any, size: tuple[int, int]) -> None:
    picture = PICTURES[name]
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None]
    theirs = torch.nn.functional.interpolate(planes, size, mode=mode, antialias=True)
    rows, columns = (
        taps(given, wanted) for given, wanted in zip(picture.shape, size, strict=False)
    )
    ours = Resizer(picture.shape[:2], size, (rows, columns))(picture)
    assert np.array_equal(ours, theirs[0].permute(1, 2, 0).numpy())
