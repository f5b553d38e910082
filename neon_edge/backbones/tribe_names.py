"""Published names, shapes and settings of TRIBE's encoders, and the checkpoint's of its fusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers.models.llama import modeling_llama
from transformers.models.vjepa2 import modeling_vjepa2
from transformers.models.wav2vec2_bert import modeling_wav2vec2_bert

from neon_edge.backbones.tribe import TribeConfig
from neon_edge.backbones.tribe_configs import audio_config, text_config, video_config
from neon_edge.backbones.tribe_fusion import fusion_shapes
from neon_edge.backbones.tribe_low_rank import low_rank_shapes

Shapes = dict[str, tuple[int, ...]]


def tensors(config: TribeConfig, kept: Sequence[str]) -> Shapes:
    """Every tensor that is read, by prefixed name; nothing of a modality that is cut away."""
    fused = fusion_shapes(config) if config.low_rank is None else low_rank_shapes(config)
    found = {f"fusion.{name}": shape for name, shape in fused.items()}
    with torch.device("meta"):
        if "video" in kept:
            video = modeling_vjepa2.VJEPA2Encoder(video_config(config.video))
            found |= _shapes(video, "video.encoder.")
        if "audio" in kept:
            audio = modeling_wav2vec2_bert.Wav2Vec2BertModel(audio_config(config.audio))
            found |= _shapes(audio.encoder, "audio.encoder.")
            found |= _shapes(audio.feature_projection, "audio.feature_projection.")
        if "text" in kept:
            text = modeling_llama.LlamaModel(text_config(config.text))
            found |= _shapes(text, "text.model.")
    return found


def _shapes(module: nn.Module, prefix: str) -> Shapes:
    return {prefix + name: tuple(value.shape) for name, value in module.state_dict().items()}


def settings(config: TribeConfig, kept: Sequence[str]) -> dict[str, Any]:
    """Dotted keys of each config.json, behind the source's name."""
    video, audio, text = config.video, config.audio, config.text
    known: dict[str, dict[str, Any]] = {
        "video": {
            "num_attention_heads": video.num_heads,
            "mlp_ratio": video.mlp_ratio,
            "layer_norm_eps": video.layer_norm_eps,
            "patch_size": video.patch_size,
            "tubelet_size": video.tubelet_size,
            "crop_size": video.crop_size,
            "hidden_act": "gelu",
        },
        "audio": {
            "num_attention_heads": audio.num_heads,
            "layer_norm_eps": audio.layer_norm_eps,
            "conv_depthwise_kernel_size": audio.conv_kernel,
            "position_embeddings_type": "relative_key",
            "left_max_position_embeddings": audio.left_positions,
            "right_max_position_embeddings": audio.right_positions,
            "hidden_act": "swish",
            "add_adapter": False,
        },
        "text": {
            "num_attention_heads": text.num_heads,
            "num_key_value_heads": text.num_kv_heads,
            "head_dim": text.head_size,
            "attention_bias": False,
            "rms_norm_eps": text.rms_norm_eps,
            "rope_parameters.rope_theta": text.rope_theta,
            "hidden_act": "silu",
            **_scaling(config),
        },
    }
    return {f"{name}.{key}": value for name in kept for key, value in known[name].items()}


def _scaling(config: TribeConfig) -> dict[str, Any]:
    if config.text.rope_scaling is None:
        return {"rope_parameters.rope_type": "default"}
    factor, low, high, original = config.text.rope_scaling
    return {
        "rope_parameters.rope_type": "llama3",
        "rope_parameters.factor": factor,
        "rope_parameters.low_freq_factor": low,
        "rope_parameters.high_freq_factor": high,
        "rope_parameters.original_max_position_embeddings": original,
    }
