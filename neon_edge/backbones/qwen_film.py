"""Frames of a video as transformers' `Qwen2VLVideoProcessor` prepares them, in torch.

`models/qwen2_vl/video_processing_qwen2_vl.py`, and Qwen3-VL's beside it, which differs in sizes
only: bicubic with antialiasing on 8-bit frames, mean and deviation, pairs of frames in a patch. It
calls torchvision, and torchvision's `resize` torch's `interpolate`; that is called here directly,
because torchvision is no dependency of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from neon_edge.engine.manifest import ImageGeometry
from neon_edge.types import UInt8

_LEVELS = 255.0


def film_pixels(frames: Sequence[UInt8], image: ImageGeometry) -> Tensor:
    """Frames (height, width, 3), video behind video → patches (steps * patches, patch_width)."""
    small = torch.cat([_resized(frame, image) for frame in frames])
    mean, std = (torch.tensor(part)[:, None, None] * _LEVELS for part in (image.mean, image.std))
    pixels = (small.to(torch.float32) - mean) / std
    down, across = (side // image.merge for side in image.grid)
    patch, merge = image.patch, image.merge
    split = pixels.reshape(-1, image.temporal, 3, down, merge, patch, across, merge, patch)
    # By step, block of merged patches, patch in the block; colour, frame, row, column inside.
    return split.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, image.patch_width)


def _resized(frame: UInt8, image: ImageGeometry) -> Tensor:
    planes = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None]
    size = [image.height, image.width]
    return interpolate(planes, size, mode="bicubic", antialias=True, align_corners=False)
