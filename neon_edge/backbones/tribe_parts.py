"""TRIBE's graphs before they exist: their names, their tensors, and who makes each module."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from neon_edge.backbones.contract import PartPlan, TensorSource
from neon_edge.backbones.tribe import (
    MODALITIES,
    AudioEncoder,
    TextEncoder,
    TribeConfig,
    VideoEncoder,
)
from neon_edge.engine.manifest import TensorSpec

Run = tuple[int, int]


def encoder_parts(config: TribeConfig) -> dict[str, list[PartPlan]]:
    """The graphs of every modality that reaches the fusion, in the order they run."""
    kept = config.kept()
    plans = {
        "video": video_parts(config.video),
        "audio": audio_parts(config.audio),
        "text": text_parts(config.text),
    }
    return {name: plans[name] for name in MODALITIES if kept[name]}


def video_parts(video: VideoEncoder) -> list[PartPlan]:
    """V-JEPA2 in one graph or in runs of layers: video_patches → video_features."""
    from neon_edge.backbones import tribe_encoders as network

    seen = TensorSpec("video_patches", [video.tokens, video.patch_width])
    return _runs("video", video, seen, partial(network.video_part, video))


def audio_parts(audio: AudioEncoder) -> list[PartPlan]:
    """Wav2Vec-BERT in one graph or in runs of layers: audio_rows → audio_features."""
    from neon_edge.backbones import tribe_encoders as network

    heard = TensorSpec("audio_rows", [1, audio.tokens, audio.features])
    return _runs("audio", audio, heard, partial(network.audio_part, audio))


def text_parts(text: TextEncoder) -> list[PartPlan]:
    """LLaMA in one graph or in runs of layers: text_embeds → text_features."""
    from neon_edge.backbones import tribe_encoders as network

    told = TensorSpec("text_embeds", [1, text.tokens, text.hidden_size])
    return _runs("text", text, told, partial(network.text_part, text))


def _runs(
    name: str,
    encoder: VideoEncoder | AudioEncoder | TextEncoder,
    first_input: TensorSpec,
    module: Callable[[Run, TensorSource], Any],
) -> list[PartPlan]:
    """One plan a run of layers; hidden states pass from each to the next."""
    layers, shape = encoder.num_layers, [1, encoder.tokens, encoder.hidden_size]
    step = encoder.layers_per_part or layers
    plans = []
    for first in range(0, layers, step):
        last = min(first + step, layers)
        taken = first_input if first == 0 else TensorSpec(f"{name}_hidden_{first}", shape)
        made = f"{name}_features" if last == layers else f"{name}_hidden_{last}"
        alone = name if step >= layers else f"{name}_{first}_{last - 1}"
        run = partial(module, (first, last))
        plans.append(PartPlan(alone, [taken], [TensorSpec(made, shape)], run))
    return plans


def fusion_part(config: TribeConfig) -> PartPlan:
    """Features of every modality that is kept, and how its tokens weigh → pooled (1, hidden_size).

    A modality that is missing is zeros, as upstream's modality dropout trained it; its tokens stay.
    `pool_weights` (1, tokens) sum to one, and are zero on the padding behind a short instruction.
    """
    from neon_edge.backbones import tribe_fusion as network

    kept = config.kept()
    inputs = [
        TensorSpec(f"{name}_features", [1, config.made[name], config.widths[name]])
        for name in MODALITIES
        if kept[name]
    ]
    tokens = sum(map(len, kept.values()))
    return PartPlan(
        "fusion",
        [*inputs, TensorSpec("pool_weights", [1, tokens])],
        [TensorSpec("pooled", [1, config.fusion.hidden_size])],
        partial(network.fusion_part, config),
    )
