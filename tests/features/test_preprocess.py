"""Our patches against transformers' image processor, Pillow and torch, on the same pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from neon_edge.engine.manifest import ImageGeometry
from neon_edge.errors import ConfigWrong
from neon_edge.features.preprocess import Preprocessor
from neon_edge.features.resize import Resizer
from neon_edge.types import Float32, UInt8

MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]


def geometry(height: int, width: int) -> ImageGeometry:
    return ImageGeometry(height, width, 14, 2, 2, MEAN, STD)


def patches(picture: UInt8, fixed: ImageGeometry) -> Float32:
    out = np.full((fixed.patches, fixed.patch_width), np.nan, np.float32)
    Preprocessor(fixed).fill(picture, out)
    return out


def pillow(picture: UInt8, height: int, width: int) -> UInt8:
    # Two calls pin the order: Pillow 13 goes down first where that is less work.
    across = Image.fromarray(picture).resize((width, len(picture)), Image.Resampling.BICUBIC)
    return np.asarray(across.resize((width, height), Image.Resampling.BICUBIC))


def test_patches_equal_the_whole_processor(pictures: list[UInt8]) -> None:
    """Its own choice of size included: a square picture, at most 224 x 224 pixels."""
    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": 224 * 224})
    for left, picture in zip((0, 40, 100, 210, 368), pictures, strict=True):
        square = np.ascontiguousarray(picture[:, left : left + 272])
        seen = processor(square, return_tensors="np")
        assert seen["image_grid_thw"].tolist() == [[1, 16, 16]]
        assert np.abs(patches(square, geometry(224, 224)) - seen["pixel_values"]).max() <= 1e-6


@pytest.mark.parametrize("size", [(112, 112), (224, 336), (448, 224)])
def test_patches_equal_the_processor_at_any_fixed_size(
    pictures: list[UInt8], size: tuple[int, int]
) -> None:
    small = pillow(pictures[3], *size)
    seen = Qwen2VLImageProcessorPil()(small, return_tensors="np")
    assert np.abs(patches(pictures[3], geometry(*size)) - seen["pixel_values"]).max() <= 1e-6


@pytest.mark.parametrize("exact", [True, False])
def test_a_picture_of_the_processors_own_size_is_not_resized(
    pictures: list[UInt8], exact: bool
) -> None:
    picture = np.ascontiguousarray(pictures[2][:256, :608])
    seen = Qwen2VLImageProcessorPil(patch_size=16)(picture, return_tensors="np")
    assert seen["image_grid_thw"].tolist() == [[1, 16, 38]]
    fixed = ImageGeometry(256, 608, 16, 2, 2, MEAN, STD, exact=exact)
    assert np.abs(patches(picture, fixed) - seen["pixel_values"]).max() <= 1e-6


def test_a_camera_picture_resizes_as_pillow_does_in_one_call(pictures: list[UInt8]) -> None:
    for picture in pictures:
        theirs = Image.fromarray(picture).resize((224, 224), Image.Resampling.BICUBIC)
        ours = Resizer(picture.shape[:2], (224, 224))(picture)
        assert np.array_equal(ours, np.asarray(theirs))


def test_resize_stays_within_two_levels_of_torch(pictures: list[UInt8]) -> None:
    """torchvision's resize, which the fast processors use, is this call."""
    for picture in pictures:
        theirs = torch.nn.functional.interpolate(
            torch.from_numpy(picture.copy()).permute(2, 0, 1)[None],
            (224, 224),
            mode="bicubic",
            antialias=True,
        )
        ours = Resizer(picture.shape[:2], (224, 224))(picture)
        difference = np.abs(ours - theirs[0].permute(1, 2, 0).numpy().astype(np.float32))
        assert difference.max() <= 2.0
        assert (difference > 0).mean() < 0.01


@settings(max_examples=60, deadline=None)
@given(
    source=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    target=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    levels=st.sampled_from([2, 3, 256]),
    seed=st.integers(0, 2**32 - 1),
)
def test_resize_is_pillow_bit_for_bit(
    source: tuple[int, int], target: tuple[int, int], levels: int, seed: int
) -> None:
    # Few levels make sums that fall exactly between two of them.
    draw = np.random.default_rng(seed).integers(0, levels, (*source, 3))
    picture = (draw * (255 // (levels - 1))).astype(np.uint8)
    assert np.array_equal(Resizer(source, target)(picture), pillow(picture, *target))


def test_a_picture_of_another_size_or_without_contiguous_memory(pictures: list[UInt8]) -> None:
    fixed = geometry(224, 224)
    preprocessor = Preprocessor(fixed)
    out = np.empty((fixed.patches, fixed.patch_width), np.float32)
    for picture in (pictures[0], pictures[0][::2, ::2], pictures[0][:, ::-1]):
        preprocessor.fill(picture, out)
        assert np.array_equal(out, patches(np.ascontiguousarray(picture), fixed))


def test_a_picture_fills_its_rows_and_no_others(pictures: list[UInt8]) -> None:
    fixed = geometry(112, 112)
    rows = fixed.patches
    buffer = np.full((3 * rows, fixed.patch_width), np.nan, np.float32)
    Preprocessor(fixed).fill(pictures[1], buffer[rows : 2 * rows])
    assert np.isfinite(buffer[rows : 2 * rows]).all()
    assert np.isnan(buffer[:rows]).all()
    assert np.isnan(buffer[2 * rows :]).all()


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
    ],
)
def test_what_is_no_picture(picture: UInt8) -> None:
    with pytest.raises(ConfigWrong, match="not a picture"):
        patches(picture, geometry(112, 112))


@pytest.mark.parametrize("size", [(112, 112), (224, 224), (448, 224)])
def test_inexact_pictures_stay_within_three_levels(
    pictures: list[UInt8], size: tuple[int, int]
) -> None:
    fixed = geometry(*size)
    level = 1 / (255 * min(STD))
    for picture in (*pictures, np.ascontiguousarray(pictures[0][:, ::-1])[:200]):
        exact = patches(picture, fixed)
        soft = patches(picture, structs.replace(fixed, exact=False))
        difference = np.abs(soft - exact)
        assert 0 < difference.max() <= 3 * level
        assert difference.mean() <= 0.35 * level


def test_inexact_pictures_are_the_filter_without_rounding(pictures: list[UInt8]) -> None:
    """Against the antialiased bicubic resize of torch, on floats."""
    fixed = geometry(224, 224)
    for picture in pictures:
        theirs = torch.nn.functional.interpolate(
            torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].double(),
            (224, 224),
            mode="bicubic",
            antialias=True,
        )[0].numpy()
        mean, std = (np.asarray(v).reshape(3, 1, 1) for v in (MEAN, STD))
        wanted = (theirs.clip(0, 255) / 255 - mean) / std
        down = wanted.reshape(3, 8, 2, 14, 8, 2, 14).transpose(1, 4, 2, 5, 0, 3, 6)
        found = patches(picture, structs.replace(fixed, exact=False))
        ours = found.reshape(8, 8, 2, 2, 3, 2, 14, 14)
        assert np.abs(ours[:, :, :, :, :, 0] - down).max() <= 2e-4
        assert np.array_equal(ours[:, :, :, :, :, 0], ours[:, :, :, :, :, 1])
