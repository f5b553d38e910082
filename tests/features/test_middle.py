"""Pictures and windows against transformers' V-JEPA2 video processor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import image_processing_backends as backends
from transformers import video_processing_utils as processing
from transformers.models.vjepa2.video_processing_vjepa2 import VJEPA2VideoProcessor

from neon_edge.backbones.tribe_clip import clip_pixels
from neon_edge.backbones.tribe_family import IMAGENET_MEAN, IMAGENET_STD
from neon_edge.engine.geometry import ImageGeometry
from neon_edge.errors import ConfigWrong
from neon_edge.features.clip_window import ClipWindow
from neon_edge.features.middle import Middle
from neon_edge.types import CameraFrame, UInt8
from tests.tiny_backbone import street


def geometry(crop: int, frames: int = 4) -> ImageGeometry:
    return ImageGeometry(crop, crop, 16, 2, 1, IMAGENET_MEAN, IMAGENET_STD, frames)


def noise(height: int, width: int) -> UInt8:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


PICTURES = {
    "street": street()[0],
    "upright": np.ascontiguousarray(street()[1].transpose(1, 0, 2)),
    "camera": noise(480, 640),
    "smaller": noise(100, 75),
    "sharp": noise(1080, 1920)[::3, ::3].copy(),
    "wide": noise(40, 640),
}


class _TorchVision:
    """What torchvision's `functional` gives the processor, by torch's own `interpolate`."""

    InterpolationMode = type("Mode", (), {"BILINEAR": "bilinear", "LANCZOS": 0, "BICUBIC": 1})

    @staticmethod
    def resize(image: torch.Tensor, size: Any, **_: object) -> torch.Tensor:
        flat = image.reshape(-1, *image.shape[-3:])
        small = torch.nn.functional.interpolate(flat, list(size), mode="bilinear", antialias=True)
        return small.reshape(*image.shape[:-2], *size)

    @staticmethod
    def crop(image: torch.Tensor, top: int, left: int, height: int, width: int) -> torch.Tensor:
        return image[..., top : top + height, left : left + width]

    @staticmethod
    def normalize(image: torch.Tensor, mean: Any, std: Any, **_: object) -> torch.Tensor:
        stats = [torch.as_tensor(part, dtype=torch.float32)[:, None, None] for part in (mean, std)]
        return (image - stats[0]) / stats[1]


@pytest.mark.parametrize("crop", [64, 256])
@pytest.mark.parametrize("name", PICTURES)
def test_pixels_are_the_processors(name: str, crop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "tvF", _TorchVision, raising=False)
    monkeypatch.setattr(processing, "tvF", _TorchVision, raising=False)
    modes = {number: "bilinear" for number in range(6)}
    monkeypatch.setattr(backends, "pil_torch_interpolation_mapping", modes, raising=False)
    clip = np.stack([PICTURES[name], PICTURES[name][:, ::-1]])
    processor = VJEPA2VideoProcessor(crop_size=crop)
    tensor = torch.from_numpy(clip).permute(0, 3, 1, 2)
    theirs = processor(videos=tensor, return_tensors="pt")["pixel_values_videos"][0].numpy()
    assert theirs.shape == (2, 3, crop, crop)
    assert np.abs(clip_pixels(list(clip), crop) - theirs).max() <= 1e-6, "our reference is theirs"
    middle, out = Middle(geometry(crop)), np.full((3, crop, crop), np.nan, np.float32)
    for picture, expected in zip(clip, theirs, strict=True):
        middle.fill(np.ascontiguousarray(picture), out)
        assert np.abs(out - expected).max() <= 1e-6, "the same level at every pixel"


@pytest.mark.parametrize("broken", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32),
                                    np.zeros((0, 4, 3), np.uint8)])  # fmt: skip
def test_a_corrupt_picture_leaves_the_window_as_it_was(broken: Any) -> None:
    window, out = ClipWindow(geometry(64), 4.0), np.zeros((32, 1536), np.float32)
    window.see([CameraFrame(street()[0], 10**9, "eye")])
    window.fill(out)
    torn = [CameraFrame(p, 2 * 10**9, "eye") for p in (*street()[:3], broken)]
    for frames in (torn[3:], torn):
        with pytest.raises(ConfigWrong, match="not a picture"):
            window.see(frames)
        again = np.zeros_like(out)
        window.fill(again)
        assert np.array_equal(again, out)


def test_the_window_rolls_at_its_own_rate() -> None:
    window = ClipWindow(geometry(64), 4.0)
    stamps = [round(k * 1e9 / 25) for k in range(50)]
    taken = [stamp for stamp in stamps if window.see([CameraFrame(street()[0], stamp, "eye")])]
    apart = np.diff(taken) / 1e9
    assert apart.min() >= 0.75 / 4
    assert apart.max() <= 1 / 4
    assert window.newest_ns == taken[-1]


def test_the_first_picture_stands_for_those_before_it_and_motion_ends_at_a_gap() -> None:
    window = ClipWindow(geometry(64), 4.0)
    whole, rolled = (np.zeros((32, 1536), np.float32) for _ in range(2))
    first, second = street()[0], street()[3]
    window.see([CameraFrame(first, 1, "eye")])
    window.see([CameraFrame(second, 10**9, "eye")])
    window.fill(rolled)
    ClipWindow.see(other := ClipWindow(geometry(64), 4.0),
                   [CameraFrame(p, 1, "eye") for p in (first, first, first, second)])  # fmt: skip
    other.fill(whole)
    assert np.array_equal(rolled, whole)
    window.forget()
    window.see([CameraFrame(second, 2 * 10**9, "eye")])
    window.fill(rolled)
    other.see([CameraFrame(second, 1, "eye")] * 4)
    other.fill(whole)
    assert np.array_equal(rolled, whole)


def test_two_cameras_are_refused() -> None:
    with pytest.raises(ConfigWrong, match="one camera"):
        ClipWindow(geometry(64), 4.0).see([CameraFrame(street()[0], 1, "eye")] * 2)
