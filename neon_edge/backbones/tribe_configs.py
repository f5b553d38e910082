"""TRIBE's encoders as transformers configures them, and filling a module from published tensors."""

from __future__ import annotations

from typing import Any

from transformers.models.llama import configuration_llama
from transformers.models.vjepa2 import configuration_vjepa2
from transformers.models.wav2vec2_bert import configuration_wav2vec2_bert

from neon_edge.backbones.contract import TensorSource
from neon_edge.backbones.tribe import AudioEncoder, TextEncoder, VideoEncoder


def video_config(video: VideoEncoder) -> Any:
    """V-JEPA2's configuration in transformers' words."""
    config = configuration_vjepa2.VJEPA2Config(
        patch_size=video.patch_size,
        crop_size=video.crop_size,
        frames_per_clip=video.frames,
        tubelet_size=video.tubelet_size,
        hidden_size=video.hidden_size,
        num_hidden_layers=video.num_layers,
        num_attention_heads=video.num_heads,
        mlp_ratio=video.mlp_ratio,
        layer_norm_eps=video.layer_norm_eps,
    )
    config._attn_implementation = "eager"
    return config


def audio_config(audio: AudioEncoder) -> Any:
    """Wav2Vec-BERT's configuration in transformers' words."""
    config = configuration_wav2vec2_bert.Wav2Vec2BertConfig(
        hidden_size=audio.hidden_size,
        num_hidden_layers=audio.num_layers,
        num_attention_heads=audio.num_heads,
        intermediate_size=audio.intermediate_size,
        feature_projection_input_dim=audio.features,
        layer_norm_eps=audio.layer_norm_eps,
        conv_depthwise_kernel_size=audio.conv_kernel,
        position_embeddings_type="relative_key",
        left_max_position_embeddings=audio.left_positions,
        right_max_position_embeddings=audio.right_positions,
        add_adapter=False,
    )
    config._attn_implementation = "eager"
    return config


def text_config(text: TextEncoder) -> Any:
    """LLaMA's configuration in transformers' words."""
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": text.rope_theta}
    if text.rope_scaling is not None:
        factor, low, high, original = text.rope_scaling
        rope |= {
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low,
            "high_freq_factor": high,
            "original_max_position_embeddings": original,
        }
    config = configuration_llama.LlamaConfig(
        hidden_size=text.hidden_size,
        num_hidden_layers=text.num_layers,
        num_attention_heads=text.num_heads,
        num_key_value_heads=text.num_kv_heads,
        head_dim=text.head_size,
        intermediate_size=text.intermediate_size,
        vocab_size=text.vocab_size,
        rms_norm_eps=text.rms_norm_eps,
        max_position_embeddings=text.max_positions,
        rope_parameters=rope,
    )
    config._attn_implementation = "eager"
    return config


def filled(module: Any, prefix: str, source: TensorSource) -> Any:
    """Give a meta module its weights in place; `prefix` is its published name."""
    state = {name: source.tensor(prefix + name) for name in module.state_dict()}
    module.load_state_dict(state, assign=True)
    return module.eval().requires_grad_(False)
