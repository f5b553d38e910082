"""A Qwen family through transformers' ordinary path: what every graph is measured against.

Nothing of our graphs is used: token ids with picture placeholders, transformers' image processor,
its scatter, its positions, its masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from neon_edge.backbones.contract import Tap, TensorSource
from neon_edge.backbones.qwen_film import film_pixels
from neon_edge.backbones.qwen_network import Network, between_pairs, grids
from neon_edge.backbones.streamed import stream
from neon_edge.engine.manifest import AudioGeometry, ImageGeometry
from neon_edge.types import Float32, UInt8


class QwenReference:
    """The families' `Reference`, streamed: see `streamed.py` for what that proves."""

    def __init__(
        self,
        network: Network,
        image: ImageGeometry,
        audio: AudioGeometry | None,
        tap: Tap,
        source: TensorSource,
    ) -> None:
        self._network = network
        self._image = image
        self._tap = tap
        self._model = stream(network.empty(), lambda name: source.tensor(network.published(name)))
        # The meta device computed nothing.
        network.restore(self._model)
        self._processor = Qwen2VLImageProcessorPil(
            patch_size=image.patch,
            temporal_patch_size=image.temporal,
            merge_size=image.merge,
            image_mean=list(image.mean),
            image_std=list(image.std),
        )
        self._ear = None if audio is None else extractor(audio)

    def pooled(
        self,
        pictures: Sequence[UInt8],
        token_ids: Sequence[int],
        sound: Float32 | None = None,
    ) -> Float32:
        """Mean over all tokens of the last hidden state, (width,)."""
        sounds = None if sound is None else [sound]
        pooled: Float32 = _mean(self._last(pictures, torch.tensor([list(token_ids)]), sounds))[0]
        return pooled

    def pooled_each(
        self,
        moments: Sequence[Sequence[UInt8]],
        token_ids: Sequence[int],
        sounds: Sequence[Float32] | None = None,
    ) -> Float32:
        """Several moments under one instruction, (n, width), every block's weights read once."""
        return _mean(self._each(moments, token_ids, sounds))

    def tokens_each(
        self,
        moments: Sequence[Sequence[UInt8]],
        token_ids: Sequence[int],
        sounds: Sequence[Float32] | None = None,
    ) -> Float32:
        """The same ahead of the mean: (n, tokens, width)."""
        tokens: Float32 = self._each(moments, token_ids, sounds).numpy()
        return tokens

    def _each(
        self,
        moments: Sequence[Sequence[UInt8]],
        token_ids: Sequence[int],
        sounds: Sequence[Float32] | None,
    ) -> torch.Tensor:
        pictures = [picture for moment in moments for picture in moment]
        return self._last(pictures, torch.tensor([list(token_ids)] * len(moments)), sounds)

    def _last(
        self,
        pictures: Sequence[UInt8],
        ids: torch.Tensor,
        sounds: Sequence[Float32] | None = None,
    ) -> torch.Tensor:
        before_norm: list[torch.Tensor] = []
        tap = self._model.language_model.norm.register_forward_pre_hook(
            lambda _, arguments: before_norm.append(arguments[0])
        )
        try:
            with torch.no_grad():
                result: Any = self._model(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    output_hidden_states=True,
                    use_cache=False,
                    **self._network.asked(ids),
                    **self._seen(pictures, len(ids)),
                    **(self._listened(sounds) if sounds is not None else {}),
                )
        finally:
            tap.remove()
        last: torch.Tensor = (
            result.hidden_states[-1] if self._tap == "post_norm" else before_norm[0]
        )
        return last

    def _seen(self, pictures: Sequence[UInt8], moments: int) -> dict[str, torch.Tensor]:
        """What the family's processors make of pictures, or of videos, and their grids."""
        image = self._image
        if not image.video_fps:
            small = [resized(picture, image) for picture in pictures]
            seen = self._processor(small, return_tensors="pt")
            return {name: seen[name] for name in ("pixel_values", "image_grid_thw")}
        return {
            "pixel_values_videos": film_pixels(pictures, image),
            **grids(image, moments),
            **self._network.times(between_pairs(image, moments)),
        }

    def _listened(self, sounds: Sequence[Float32]) -> dict[str, torch.Tensor]:
        """What `Qwen2_5OmniProcessor` makes of one window of sound a moment."""
        assert self._ear is not None
        heard = self._ear(
            list(sounds),
            sampling_rate=self._ear.sampling_rate,
            return_attention_mask=True,
            padding="max_length",
            return_tensors="pt",
        )
        return {
            "input_features": heard["input_features"],
            "feature_attention_mask": heard["attention_mask"],
        }


def _mean(last: torch.Tensor) -> Float32:
    pooled: Float32 = last.mean(dim=1).numpy()
    return pooled


def resized(picture: UInt8, image: ImageGeometry) -> UInt8:
    """At the fixed geometry, by Pillow's bicubic filter: across, then down.

    In two calls, because Pillow 13 chooses the order by the picture's shape, while earlier
    versions and torchvision always go across first.
    """
    from PIL import Image

    bicubic = Image.Resampling.BICUBIC
    across = Image.fromarray(picture).resize((image.width, picture.shape[0]), bicubic)
    return np.asarray(across.resize((image.width, image.height), bicubic))


def extractor(audio: AudioGeometry) -> Any:
    """The feature extractor of Qwen2.5-Omni: Whisper's, which pads sound to five minutes."""
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(
        feature_size=audio.mels,
        sampling_rate=audio.rate_hz,
        hop_length=audio.hop,
        n_fft=audio.fft,
        chunk_length=300,
    )
