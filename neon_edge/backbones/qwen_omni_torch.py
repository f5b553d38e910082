"""Qwen2.5-Omni's thinker in transformers' words."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from transformers.models.qwen2_5_omni import configuration_qwen2_5_omni as configuration
from transformers.models.qwen2_5_omni import modeling_qwen2_5_omni as modeling

from neon_edge.backbones.qwen_audio_torch import AudioPart
from neon_edge.backbones.qwen_network import (
    Network,
    between_pairs,
    eager,
    grids,
    text_words,
    windowed_words,
)
from neon_edge.backbones.qwen_omni import QwenOmniConfig
from neon_edge.backbones.qwen_windows import WindowedVision
from neon_edge.engine.manifest import AudioGeometry, ImageGeometry


class OmniNetwork(Network):
    """`Qwen2_5OmniThinkerModel`, without its audio tower where nobody listens."""

    published_prefixes: ClassVar = {
        "visual.": "thinker.visual.",
        "language_model.": "thinker.model.",
        "audio_tower.": "thinker.audio_tower.",
    }

    def __init__(self, config: QwenOmniConfig, listens: bool) -> None:
        self.config = config
        self._listens = listens

    def make(self) -> Any:
        """The thinker."""
        model = modeling.Qwen2_5OmniThinkerModel(thinker_config(self.config))
        if not self._listens:
            model.audio_tower = nn.Identity()
        return model

    def restore(self, model: Any) -> None:
        """Rotary frequencies of tower and decoder, and the audio tower's sinusoids."""
        settings = model.config
        model.visual.rotary_pos_emb = modeling.Qwen2_5OmniVisionRotaryEmbedding(
            settings.vision_config
        )
        model.language_model.rotary_emb = modeling.Qwen2_5OmniRotaryEmbedding(settings.text_config)
        if self._listens:
            ear = settings.audio_config
            model.audio_tower.positional_embedding = modeling.SinusoidsPositionEmbedding(
                ear.max_source_positions, ear.d_model
            )

    def vision(self, tower: Any, image: ImageGeometry) -> nn.Module:
        """Windows as a batch."""
        return WindowedVision(tower, image)

    def audio(self, tower: Any, audio: AudioGeometry) -> nn.Module:
        """Chunks as a batch."""
        return AudioPart(tower, audio.frames // (2 * tower.n_window))

    def positions(
        self, model: Any, ids: Tensor, image: ImageGeometry, audio: AudioGeometry | None = None
    ) -> Tensor:
        """As `get_rope_index` counts them."""
        positions, _ = model.get_rope_index(
            ids,
            **grids(image),
            attention_mask=torch.ones_like(ids),
            audio_seqlens=None if audio is None else torch.tensor([audio.frames]),
            second_per_grids=between_pairs(image) if image.video_fps else None,
        )
        return cast("Tensor", positions)

    def times(self, seconds: Tensor) -> dict[str, Tensor]:
        """Under Omni's own name."""
        return {"video_second_per_grid": seconds}


def audio_words(config: QwenOmniConfig) -> dict[str, Any]:
    """The audio tower's configuration in transformers' words."""
    audio = config.audio
    return {
        "encoder_layers": audio.num_layers,
        "d_model": audio.hidden_size,
        "encoder_attention_heads": audio.num_heads,
        "encoder_ffn_dim": audio.intermediate_size,
        "num_mel_bins": audio.mels,
        "n_window": audio.chunk_frames // 2,
        "max_source_positions": audio.max_positions,
        "output_dim": config.text.hidden_size,
    }


def thinker_config(config: QwenOmniConfig) -> Any:
    """The configuration in transformers' words."""
    tokens = config.tokens
    return eager(
        configuration.Qwen2_5OmniThinkerConfig(
            vision_config=windowed_words(config.vision, config.text.hidden_size),
            text_config=text_words(config.text),
            audio_config=audio_words(config),
            image_token_index=tokens.image,
            video_token_index=tokens.video,
            audio_token_index=tokens.audio,
            vision_start_token_id=tokens.vision_bos,
            audio_start_token_id=tokens.audio_bos,
            audio_end_token_id=tokens.audio_eos,
            position_id_per_seconds=config.position_id_per_seconds,
        )
    )
