"""TRIBE's graphs before they exist: their names, their tensors, and who makes each module."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from neon_edge.backbones.contract import PartPlan, TensorSource
from neon_edge.backbones.tribe import (
    MODALITIES,
    AudioEncoder,
    LowRank,
    TextEncoder,
    TribeConfig,
    VideoEncoder,
)
from neon_edge.engine.manifest import TensorSpec

Run = tuple[int, int]


def encoder_parts(config: TribeConfig) -> dict[str, list[PartPlan]]:
    """The graphs of every modality that reaches the fusion, in the order they run."""
    if config.low_rank is not None:
        return stepped_parts(config, config.low_rank)
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


def stepped_parts(config: TribeConfig, fusion: LowRank) -> dict[str, list[PartPlan]]:
    """The same runs of layers, giving steps: video and text one a pass, audio a whole window's."""
    plain = {
        "video": video_parts(config.video),
        "audio": audio_parts(config.audio),
        "text": text_parts(config.text),
    }
    steps = {"video": 1, "audio": fusion.steps, "text": 1}
    found: dict[str, list[PartPlan]] = {}
    for name, plans in plain.items():
        encoder: VideoEncoder | AudioEncoder | TextEncoder = getattr(config, name)
        found[name], first = [], 0
        for plan in plans:
            last = min(first + (encoder.layers_per_part or encoder.num_layers), encoder.num_layers)
            stepped = _Stepped(name, encoder, fusion, steps[name], (first, last))
            found[name].append(stepped.plan(plan))
            first = last
    return found


class _Stepped(NamedTuple):
    """One run of one encoder, on its way to steps."""

    name: str
    encoder: VideoEncoder | AudioEncoder | TextEncoder
    fusion: LowRank
    steps: int
    run: Run

    def plan(self, plain: PartPlan) -> PartPlan:
        """`plain`, with sums that pass through it."""
        inputs, outputs = list(plain.inputs), list(plain.outputs)
        (first, last), width = self.run, self.encoder.hidden_size
        if self.name == "text":
            inputs.append(TensorSpec("text_weights", [1, self.encoder.tokens]))
        shape = [1, self.fusion.groups, self.steps, width]
        if first:
            inputs.append(TensorSpec(f"{self.name}_sums_{first}", shape))
        if last == self.encoder.num_layers:
            flat = [1, self.steps, self.fusion.groups * width]
            outputs = [TensorSpec(f"{self.name}_steps", flat)]
        else:
            outputs.append(TensorSpec(f"{self.name}_sums_{last}", shape))
        return PartPlan(plain.name, inputs, outputs, partial(_stepped, self, plain.module))


def _stepped(stepped: _Stepped, module: Callable[[TensorSource], Any], source: TensorSource) -> Any:
    from neon_edge.backbones.tribe_steps import SteppedPart

    layers = stepped.encoder.num_layers
    groups = stepped.fusion.bounds(layers)
    normed = stepped.name != "video"
    part = SteppedPart(module(source), stepped.run, layers, groups, stepped.steps, normed)
    return part.eval()


def low_rank_plan(config: TribeConfig, fusion: LowRank) -> PartPlan:
    """Steps of every modality, and which are there → pooled (1, head_width)."""
    from neon_edge.backbones.tribe_low_rank import ORDER, low_rank_part

    inputs = [
        TensorSpec(f"{name}_steps", [1, fusion.steps, fusion.groups * config.widths[name]])
        for name in ORDER
    ]
    return PartPlan(
        "fusion",
        [*inputs, TensorSpec("present", [1, len(ORDER)])],
        [TensorSpec("pooled", [1, fusion.head_width])],
        partial(low_rank_part, config),
    )


def fusion_part(config: TribeConfig) -> PartPlan:
    """Features of every modality that is kept, and how its tokens weigh → pooled (1, hidden_size).

    A modality that is missing is zeros, as upstream's modality dropout trained it; its tokens stay.
    `pool_weights` (1, tokens) sum to one, and are zero on the padding behind a short instruction.
    """
    from neon_edge.backbones import tribe_fusion as network

    if config.low_rank is not None:
        return low_rank_plan(config, config.low_rank)
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
