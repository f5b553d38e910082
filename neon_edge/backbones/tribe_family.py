"""TRIBE as a family: three published encoders, and a fusion that the Neon checkpoint brings.

Tensors are named by where they come from: `video.`, `audio.` and `text.` ahead of the published
name, `fusion.` ahead of the checkpoint's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from neon_edge.backbones.contract import (
    Cut,
    PartPlan,
    Published,
    Reference,
    Template,
    TensorSource,
)
from neon_edge.backbones.tribe import MODALITIES, TribeConfig
from neon_edge.engine.manifest import AudioGeometry, ImageGeometry, Prompt
from neon_edge.engine.streams import STEP_NS, Streams
from neon_edge.errors import ConfigWrong

FUSION = "fusion."
TRIBE_V2 = (
    "projectors.",
    "time_pos_embed",
    "combiner.",
    "encoder.layers.",
    "encoder.final_norm.",
    "low_rank_head.",
)
"""What TRIBE v2 computes up to its head; tensors behind it predict brains and are left alone."""
IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]
"""Of transformers' `VJEPA2VideoProcessor`."""
RATE_HZ = 16000
BANDS = 80
FFT = 512
HOP = 160
ROWS_PER_SECOND = 50


class Under:
    """A `TensorSource` in which every name stands behind a prefix."""

    def __init__(self, source: TensorSource, prefix: str) -> None:
        self._source = source
        self._prefix = prefix

    def tensor(self, name: str) -> Any:
        """The tensor that the source knows by the prefixed name."""
        return self._source.tensor(self._prefix + name)


class Tribe:
    """The `Adaptor`."""

    config_type = TribeConfig
    embedding = "text.model.embed_tokens.weight"
    pad_token = "<|end_of_text|>"
    prefixes = (
        "video.encoder.",
        "audio.encoder.",
        "audio.feature_projection.",
        "text.model.",
        *(FUSION + name for name in TRIBE_V2),
    )

    def __init__(self, config: TribeConfig, cut: Cut) -> None:
        self.config = config
        self.cut = cut
        self._kept = config.kept()
        self._check()

    @property
    def width(self) -> int:
        """The fusion's."""
        return self.config.pooled_width

    @property
    def vocabulary(self) -> int:
        """LLaMA's."""
        return self.config.text.vocab_size

    @property
    def image(self) -> ImageGeometry:
        """The pictures of one window; each is cropped from the middle of the camera's."""
        video = self.config.video
        return ImageGeometry(
            height=video.crop_size,
            width=video.crop_size,
            patch=video.patch_size,
            temporal=video.tubelet_size,
            merge=1,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            count=video.frames,
        )

    @property
    def audio(self) -> AudioGeometry | None:
        """None where no sound reaches the fusion."""
        if not self._kept["audio"]:
            return None
        samples = RATE_HZ * self.cut.audio_seconds
        return AudioGeometry(RATE_HZ, samples, BANDS, FFT, HOP, self.config.audio.tokens)

    @property
    def sources(self) -> Mapping[str, Published]:
        """Where encoders and fusion are published; nothing where weights are drawn."""
        return self.config.sources

    @property
    def fusion_published(self) -> bool:
        """TRIBE v2's own is; upstream's was trained with the heads."""
        return self.config.low_rank is not None

    @property
    def streams(self) -> Streams:
        """What the host runs apart."""
        kept = {name: len(self._kept[name]) for name in MODALITIES}
        return Streams(self.config.rates, kept, self.config.over)

    @property
    def template(self) -> Template:
        """No chat: LLaMA reads the bare instruction, as upstream's tokenizer call gives it."""
        return Template("<|begin_of_text|>", "", "", "", picture="")

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Those of LLaMA 3 that an instruction must not spell."""
        tokens = self.config.text.tokens_by_name
        return {"<|begin_of_text|>": tokens.begin, "<|end_of_text|>": tokens.end}

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """What the modalities that are kept need, and the fusion."""
        from neon_edge.backbones.tribe_names import tensors

        return tensors(self.config, [name for name in MODALITIES if self._kept[name]])

    def settings(self) -> dict[str, Any]:
        """What shapes cannot show, by source and dotted key of its config.json."""
        from neon_edge.backbones.tribe_names import settings

        return settings(self.config, [name for name in MODALITIES if self._kept[name]])

    def parts(self, prompt: Prompt) -> list[PartPlan]:
        """Encoder after encoder, then the fusion."""
        from neon_edge.backbones.tribe_parts import encoder_parts, fusion_part

        plans = []
        for name, parts in encoder_parts(self.config).items():
            plans += [_under(f"{name}.", plan) for plan in parts]
        return [*plans, _under(FUSION, fusion_part(self.config))]

    def reference(self, source: TensorSource) -> Reference:
        """Transformers' encoders, streamed, and torch's own transformer."""
        from neon_edge.backbones.tribe_reference import TribeReference

        return TribeReference(self.config, source)

    def lost(self) -> list[str]:
        """What the cut takes from the heads."""
        return self.config.lost()

    def _check(self) -> None:
        if self.cut.tokens:
            raise ConfigWrong(
                "this family gives out no tokens",
                "cut.tokens = true, and its fusion is asked for pooled features only: senses that "
                "are missing are zeros in it, which a head's attention would not know",
                "leave tokens away, or use a Qwen family",
            )
        cut, video, text = self.cut, self.config.video, self.config.text
        wanted = {
            "height": video.crop_size,
            "width": video.crop_size,
            "pictures": video.frames,
            "text_tokens": text.tokens,
            "video": False,
        }
        wrong = {key: want for key, want in wanted.items() if getattr(cut, key) != want}
        if self._kept["audio"]:
            rows = ROWS_PER_SECOND * cut.audio_seconds - 1
            if rows != self.config.audio.tokens:
                wrong["audio_seconds"] = (self.config.audio.tokens + 1) // ROWS_PER_SECOND
            steps, fused = cut.audio_seconds * 10**9 // STEP_NS, self.config.low_rank
            if fused is not None and fused.steps != steps:
                raise ConfigWrong(
                    "steps are of half a second, and do not fill the window of sound",
                    f"low_rank.steps = {fused.steps}, audio_seconds = {cut.audio_seconds}",
                    f"low_rank.steps = {steps}",
                )
        if wrong:
            raise ConfigWrong(
                "cut and config of this recipe disagree",
                ", ".join(f"{key} = {getattr(cut, key)}" for key in wrong),
                ", ".join(f"{key} = {want}" for key, want in wrong.items()),
            )


def _under(prefix: str, plan: PartPlan) -> PartPlan:
    return replace(plan, module=partial(_made, prefix, plan.module))


def _made(prefix: str, module: Any, source: TensorSource) -> Any:
    return module(Under(source, prefix))
