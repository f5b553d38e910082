"""What the Qwen families have in common: a vision tower ahead of a decoder, cut at its pool."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct, structs

from neon_edge.backbones.contract import Cut, PartPlan, Reference, Template, TensorSource
from neon_edge.backbones.qwen_config import QwenConfig
from neon_edge.backbones.qwen_video import check_video
from neon_edge.engine.attended import TOKENS
from neon_edge.engine.manifest import AudioGeometry, ImageGeometry, Prompt, TensorSpec
from neon_edge.errors import ConfigWrong

if TYPE_CHECKING:
    from neon_edge.backbones.qwen_network import Network
    from neon_edge.backbones.qwen_prefix import FoldedPrefix


class QwenFamily(ABC):
    """Most of an `Adaptor`; a family adds its tokens, its names and its network."""

    config_type: ClassVar[type[Struct]]
    embedding: ClassVar[str]
    pad_token = "<|endoftext|>"
    untold_fps: ClassVar[float] = 24.0
    """What the family's processor takes a video for whose frame rate it is not told."""

    def __init__(self, config: QwenConfig, cut: Cut) -> None:
        self.config: Any = config
        self.cut = cut
        self._check()

    @property
    @abstractmethod
    def prefixes(self) -> tuple[str, ...]:
        """Published names that begin so belong to the path."""

    @property
    @abstractmethod
    def template(self) -> Template:
        """The chat template that upstream sends."""

    @property
    @abstractmethod
    def special_tokens(self) -> Mapping[str, int]:
        """Spelling and id, as in the published tokenizer."""

    @property
    @abstractmethod
    def unit(self) -> tuple[int, str]:
        """Pixels that height and width must be multiples of, and what that many pixels are."""

    @property
    @abstractmethod
    def network(self) -> Network:
        """The family's classes of transformers. Loads torch."""

    @property
    def stacked(self) -> int:
        """Decoder layers, from the first, behind which the tower adds features of its own."""
        return 0

    @property
    def width(self) -> int:
        """The decoder's hidden size."""
        return int(self.config.text.hidden_size)

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding table."""
        return int(self.config.text.vocab_size)

    @property
    def image(self) -> ImageGeometry:
        """Constants of `Qwen2VLImageProcessor`, at the cut's size."""
        vision = self.config.vision
        return ImageGeometry(
            height=self.cut.height,
            width=self.cut.width,
            patch=vision.patch_size,
            temporal=vision.temporal_patch_size,
            merge=vision.spatial_merge_size,
            mean=list(vision.image_mean),
            std=list(vision.image_std),
            count=self.cut.pictures * self.cut.window,
            exact=self.cut.exact_pictures,
            window=self.cut.window,
            window_hz=self.cut.window_hz,
            video_fps=(self.cut.video_fps or self.untold_fps) if self.cut.video else 0.0,
        )

    @property
    def audio(self) -> AudioGeometry | None:
        """Only Omni listens."""
        return None

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Published names and shapes of the vision tower and the decoder, without the LM head."""
        return self.network.published_shapes()

    def parts(self, prompt: Prompt) -> list[PartPlan]:
        """`vision`, then the decoder in one graph or in runs of `layers_per_part` layers."""
        from neon_edge.backbones.qwen_network import vision_part

        image = self.image
        if self.cut.vision_apart:
            image = structs.replace(image, count=image.depth, window=image.depth)
        rows = image.picture_tokens * image.steps
        stacked = [spec.name for spec in self._stacked(0, self.stacked)]
        vision = PartPlan(
            "vision",
            [TensorSpec("patches", [image.patches * image.steps, image.patch_width])],
            [TensorSpec(name, [1, rows, self.width]) for name in ("image_embeds", *stacked)],
            partial(vision_part, self.network, image),
        )
        runs = _runs(self.config.text.num_layers, self.cut.layers_per_part)
        prefix = self._prefix(prompt)
        decoder = [self._decoder(run, len(runs) == 1, prompt, prefix) for run in runs]
        return [vision, *self._ear(), *decoder]

    def reference(self, source: TensorSource) -> Reference:
        """The family's model, eager, float32."""
        from neon_edge.backbones.qwen_reference import QwenReference

        return QwenReference(self.network, self.image, self.audio, self.cut.tap, source)

    def _ear(self) -> list[PartPlan]:
        from neon_edge.backbones.qwen_network import audio_part

        audio = self.audio
        if audio is None:
            return []
        mel = TensorSpec("mel", [audio.mels, audio.frames])
        plan = partial(audio_part, self.network, audio)
        return [PartPlan("audio", [mel], [self._heard(audio)], plan)]

    def _prefix(self, prompt: Prompt) -> FoldedPrefix | None:
        from neon_edge.backbones.qwen_prefix import FoldedPrefix

        if prompt.folded == 0:
            return None
        return FoldedPrefix(self.network, self.embedding, prompt.before[: prompt.folded])

    def _decoder(
        self, run: tuple[int, int], alone: bool, prompt: Prompt, prefix: FoldedPrefix | None
    ) -> PartPlan:
        from neon_edge.backbones.qwen_decoder import DecoderGeometry, decoder_part

        first, last = run
        audio = self.audio
        heard = [self._heard(audio)] if audio is not None else []
        tokens = self.image.picture_tokens * self.image.steps + prompt.text_tokens
        tokens += audio.tokens if audio is not None else 0
        passed = tokens - prompt.folded
        inputs = [TensorSpec(f"hidden_{first}", [1, passed, self.width])]
        outputs = [TensorSpec(f"hidden_{last}", [1, passed, self.width])]
        if first == 0:
            inputs = [
                self._seen("image_embeds"),
                *heard,
                TensorSpec("text_embeds", [1, prompt.text_tokens - prompt.folded, self.width]),
            ]
        inputs += self._stacked(first, last)
        if last == self.config.text.num_layers:
            inputs.append(TensorSpec("pool_weights", [1, tokens]))
            outputs = [TensorSpec("pooled", [1, self.width])]
            if self.cut.tokens:
                outputs.append(TensorSpec(TOKENS, [1, tokens, self.width]))
        special, template = self.special_tokens, self.template
        geometry = DecoderGeometry(
            image=self.image,
            audio=audio,
            prompt=prompt,
            tap=self.cut.tap,
            image_token=special[template.picture],
            audio_token=special[template.sound] if audio is not None else 0,
            tokens=self.cut.tokens,
        )
        return PartPlan(
            "decoder" if alone else f"decoder_{first}_{last - 1}",
            inputs,
            outputs,
            partial(decoder_part, self.network, geometry, run, self.stacked, prefix),
        )

    def _seen(self, name: str) -> TensorSpec:
        """One row a token of a picture."""
        return TensorSpec(name, [1, self.image.picture_tokens * self.image.steps, self.width])

    def _heard(self, audio: AudioGeometry) -> TensorSpec:
        return TensorSpec("audio_embeds", [1, audio.tokens, self.width])

    def _stacked(self, first: int, last: int) -> list[TensorSpec]:
        """What the tower adds behind the decoder's layers `first` up to `last`."""
        return [self._seen(f"deepstack_{layer}") for layer in range(first, min(last, self.stacked))]

    def _check(self) -> None:
        side, what = self.unit
        if self.cut.height % side or self.cut.width % side:
            raise ConfigWrong(
                f"pictures must be cut into whole {what}s",
                f"{self.cut.height}x{self.cut.width} px, {what}s of {side} px",
                f"use multiples of {side} for height and width",
            )
        if self.cut.audio_seconds and self.audio is None:
            raise ConfigWrong(
                "this family does not listen",
                f"audio_seconds = {self.cut.audio_seconds}",
                "remove audio_seconds, or use a family with an audio tower, such as qwen_omni",
            )
        check_video(self.cut, self.config.vision.temporal_patch_size)
        text = self.config.text
        if 2 * sum(text.mrope_section) != text.head:
            raise ConfigWrong(
                "mrope_section does not cover a head",
                f"2 * {sum(text.mrope_section)} is not the head's {text.head}",
                "it must sum to half of a head",
            )
        highest = max(self.special_tokens.values())
        if highest >= text.vocab_size:
            raise ConfigWrong(
                "a special token lies outside the vocabulary",
                f"id {highest}, vocab_size {text.vocab_size}",
                "correct [config.tokens] or vocab_size",
            )


def _runs(layers: int, per_part: int) -> list[tuple[int, int]]:
    step = per_part or layers
    return [(first, min(first + step, layers)) for first in range(0, layers, step)]
