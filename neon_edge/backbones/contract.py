"""What a family of backbones must say of itself so that the build can export it.

    recipe (config + Cut) ─▶ Adaptor ─▶ parts ─▶ ONNX, one graph a part
                                └─────▶ Reference: the same features through transformers' own path

A part is built from a `TensorSource` one tensor at a time and dropped once exported, so that no
more than one part's weights are ever in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, runtime_checkable

from msgspec import Meta, Struct

from neon_edge.engine.manifest import AudioGeometry, ImageGeometry, Prompt, TensorSpec
from neon_edge.engine.streams import Streams
from neon_edge.types import Float32, UInt8

if TYPE_CHECKING:
    import torch

Tap = Literal["post_norm", "pre_norm"]
"""The last hidden state, behind or ahead of the decoder's final norm."""

Count = Annotated[int, Meta(ge=1)]


class Cut(Struct, frozen=True, forbid_unknown_fields=True):
    """The fixed geometry of one build: everything that is folded into the graphs."""

    height: Count
    """Of a picture, in pixels."""
    width: Count
    text_tokens: Count
    """Room for the chat template and the instruction together."""
    pictures: Count = 1
    """Cameras a pass."""
    window: Count = 1
    """Pictures a camera: the newest, and those before it."""
    window_hz: Annotated[float, Meta(gt=0)] = 4.0
    """How far apart those are; upstream's `fps`."""
    video: bool = False
    """A camera's window is one video, with tokens for pairs of its frames."""
    video_fps: Annotated[float, Meta(ge=0)] = 0.0
    """What times in a video are counted at; 0: as upstream, which tells its processor nothing."""
    vision_apart: bool = False
    """Each picture passes the vision part alone, so that one that was just seen need not."""
    fold_prefix: bool = False
    """Tokens ahead of the first picture are constants in the decoder and not computed anew."""
    exact_pictures: bool = True
    """Resize bit for bit as the family's processor; without, within three levels and faster."""
    audio_seconds: Annotated[int, Meta(ge=0)] = 0
    """Of sound a pass, up to the newest; 0 does not listen."""
    tap: Tap = "post_norm"
    tokens: bool = False
    """Give out the sequence whose mean the pooled features are, for heads that attend to it."""
    layers_per_part: Annotated[int, Meta(ge=0)] = 0
    """Decoder layers in one graph; 0 is all of them. Fewer layers need less memory to build."""


class Template(Struct, frozen=True):
    """The chat template as text, around pictures and instruction. Special tokens are spelled."""

    before: str
    separator: str
    between: str
    after: str
    picture: str
    """Stands once for every token of a picture."""
    sound: str = ""
    """Stands once for every token of a window of sound, behind `between`."""
    heard: str = ""
    """Between sound and instruction."""
    gaps: tuple[str, ...] = ()
    """Between one picture and the next, where `separator` is not between all."""

    def between_pictures(self, count: int) -> list[str]:
        """What stands between `count` pictures, or pairs of a video's frames, in their order."""
        return list(self.gaps) or [self.separator] * (count - 1)


class TensorSource(Protocol):
    """Weights, one tensor at a time, under their published names."""

    def tensor(self, name: str) -> torch.Tensor:
        """A fresh float32 tensor on the CPU, in its expected shape, every value finite."""


@dataclass(frozen=True)
class PartPlan:
    """One graph before it exists: its tensors, and how to make the module that is exported.

    The module's `forward` takes `inputs` in order and returns `outputs` in order.
    """

    name: str
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    module: Callable[[TensorSource], torch.nn.Module]


class Reference(Protocol):
    """The whole model, on the ordinary path of the library that defines it."""

    def pooled(
        self,
        pictures: Sequence[UInt8],
        token_ids: Sequence[int],
        sound: Float32 | None = None,
    ) -> Float32:
        """Pooled features (width,) of RGB pictures (height, width, 3) and the full sequence.

        `token_ids` holds the picture token once for every token of a picture, the sound token once
        for every token of `sound` (samples,), and no padding.
        """


@runtime_checkable
class Batched(Reference, Protocol):
    """A `Reference` that takes several moments at once, and then reads its weights once."""

    def pooled_each(
        self,
        moments: Sequence[Sequence[UInt8]],
        token_ids: Sequence[int],
        sounds: Sequence[Float32] | None = None,
    ) -> Float32:
        """Pooled features (n, width) of n moments of pictures under one sequence of ids."""


@runtime_checkable
class Sequenced(Reference, Protocol):
    """A `Reference` of a family whose cut may give out tokens."""

    def tokens_each(
        self,
        moments: Sequence[Sequence[UInt8]],
        token_ids: Sequence[int],
        sounds: Sequence[Float32] | None = None,
    ) -> Float32:
        """What `Batched.pooled_each` is the mean of: (n, tokens, width)."""


class Published(Struct, frozen=True, forbid_unknown_fields=True):
    """Where one of several encoders, or the fusion, is published, and under which terms."""

    model_id: str
    revision: str
    licence: str


@runtime_checkable
class Joined(Protocol):
    """An `Adaptor` of several published models, fused by what the Neon checkpoint trained."""

    @property
    def sources(self) -> Mapping[str, Published]:
        """By the first word of their tensors' names."""

    @property
    def fusion_published(self) -> bool:
        """Whether the fusion lies beside the encoders, and not in the checkpoint of the heads."""

    @property
    def streams(self) -> Streams:
        """What the host runs apart, and how often."""

    def lost(self) -> list[str]:
        """What never reaches the heads, a line each; said at every build."""


class Adaptor(Protocol):
    """One family under one configuration and one cut. Making it never loads torch or weights."""

    config_type: type[Struct]
    """What `[config]` of a recipe must say."""

    def __init__(self, config: Any, cut: Cut) -> None:
        """Raises `ConfigWrong` where the family cannot be cut that way."""

    @property
    def width(self) -> int:
        """Of the pooled features."""

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding table."""

    @property
    def image(self) -> ImageGeometry:
        """How pictures become patches."""

    @property
    def audio(self) -> AudioGeometry | None:
        """How sound becomes tokens; None where the cut does not listen."""

    @property
    def template(self) -> Template:
        """The chat template that upstream sends."""

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Every special token of the family, and the id that its tokenizer must give it."""

    @property
    def pad_token(self) -> str:
        """The special token that fills the room an instruction leaves."""

    @property
    def embedding(self) -> str:
        """Published name of the embedding table, which stays outside every graph."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Published names that begin so belong to the path; others in the files are left alone."""

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the path, by published name, and its shape."""

    def settings(self) -> dict[str, Any]:
        """What shapes cannot show: dotted keys of the published config.json and their values."""

    def parts(self, prompt: Prompt) -> list[PartPlan]:
        """The graphs, in the order they run; tensors chain them by name."""

    def reference(self, source: TensorSource) -> Reference:
        """The model; how much of it is in memory at a time is the family's."""
