"""Pictures as transformers' `VJEPA2VideoProcessor` prepares them, in torch.

`models/vjepa2/video_processing_vjepa2.py`: the short side to 256 / 224 of the crop, bilinear with
antialiasing, then the crop's middle, then ImageNet's mean and deviation. The processor calls
torchvision, and torchvision's `resize` calls torch's `interpolate` on 8-bit pictures; it is called
here directly, because torchvision is no dependency of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import interpolate
from transformers.image_transforms import get_resize_output_image_size
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, ChannelDimension

from neon_edge.types import Float32, UInt8


def clip_pixels(pictures: Sequence[UInt8], crop: int) -> Float32:
    """Pictures (height, width, 3) of one size → (frames, 3, crop, crop) float32."""
    clip = torch.from_numpy(np.stack(list(pictures))).permute(0, 3, 1, 2)
    size = get_resize_output_image_size(
        clip[0].numpy(), int(crop * 256 / 224), False, input_data_format=ChannelDimension.FIRST
    )
    small = interpolate(clip, list(size), mode="bilinear", antialias=True, align_corners=False)
    top, left = ((side - crop) // 2 for side in size)
    middle = small[:, :, top : top + crop, left : left + crop].numpy().astype(np.float64) / 255.0
    mean, std = (
        np.reshape(part, (3, 1, 1)) for part in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    )
    pixels: Float32 = ((middle - mean) / std).astype(np.float32)
    return pixels
