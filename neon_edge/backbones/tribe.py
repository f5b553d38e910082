"""TRIBE as upstream fuses it: V-JEPA2, Wav2Vec-BERT 2.0 and LLaMA side by side, then a transformer.

Configurations: transformers `models/{vjepa2,wav2vec2_bert,llama}/configuration_*.py`; fusion: the
package neon-vla, `neon/model/tribe_backbone.py`. Every encoder is parts of its own, because each
runs at its own rate: text when the instruction changes, video and sound on rolling windows.

Upstream cuts the sequence at `max_seq_len`, video first: see `Budget`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from msgspec import Struct

from neon_edge.backbones.contract import Published
from neon_edge.engine.streams import Fusion as FusionKind
from neon_edge.engine.streams import Rates
from neon_edge.errors import ConfigWrong

MODALITIES = ("video", "audio", "text")
"""In the order in which they stand in the sequence."""


class VideoEncoder(Struct, frozen=True, forbid_unknown_fields=True):
    """V-JEPA2's encoder, and the window that it sees."""

    num_layers: int
    hidden_size: int
    num_heads: int
    mlp_ratio: float
    layer_norm_eps: float
    patch_size: int
    tubelet_size: int
    """Frames in one token."""
    crop_size: int
    """Pixels a side."""
    frames: int
    """In one window."""
    layers_per_part: int = 0
    """0 is all of them in one graph."""

    @property
    def tokens(self) -> int:
        """Of one window."""
        return (self.frames // self.tubelet_size) * (self.crop_size // self.patch_size) ** 2

    @property
    def patch_width(self) -> int:
        """Numbers in one patch: RGB, frames of a tubelet, height by width."""
        return 3 * self.tubelet_size * self.patch_size**2


class AudioEncoder(Struct, frozen=True, forbid_unknown_fields=True):
    """Wav2Vec-BERT 2.0, and the window that it hears."""

    num_layers: int
    hidden_size: int
    num_heads: int
    intermediate_size: int
    layer_norm_eps: float
    features: int
    """Numbers in one row of the filter bank: two frames side by side."""
    conv_kernel: int
    left_positions: int
    right_positions: int
    tokens: int
    """Rows in one window, fifty a second."""
    layers_per_part: int = 0
    """0 is all of them in one graph."""


class TextTokens(Struct, frozen=True, forbid_unknown_fields=True):
    """Ids of LLaMA 3's special tokens around an instruction."""

    begin: int = 128000
    end: int = 128001


class TextEncoder(Struct, frozen=True, forbid_unknown_fields=True):
    """LLaMA's decoder without its head, and the room an instruction has."""

    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    intermediate_size: int
    vocab_size: int
    rms_norm_eps: float
    rope_theta: float
    max_positions: int
    tokens: int
    tokens_by_name: TextTokens = TextTokens()
    rope_scaling: tuple[float, float, float, int] | None = None
    """LLaMA 3's: factor, low and high frequency factor, original positions."""
    layers_per_part: int = 0
    """0 is all of them in one graph."""


class Budget(Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens that each modality may keep, spread evenly over its own.

    Without one, the sequence is cut as upstream cuts it: the first `max_seq_len` tokens of video,
    audio and text in this order, whatever that leaves of the last ones.
    """

    video: int
    audio: int
    text: int


class Fusion(Struct, frozen=True, forbid_unknown_fields=True):
    """Upstream's transformer over all tokens. Its weights are in the Neon checkpoint."""

    hidden_size: int = 512
    num_layers: int = 4
    num_heads: int = 8
    max_seq_len: int = 512
    budget: Budget | None = None


class LowRank(Struct, frozen=True, forbid_unknown_fields=True):
    """TRIBE v2's own fusion, at its `low_rank_head`, in place of upstream's.

    facebookresearch/tribev2 `tribev2/model.py`, `tribev2/grids/defaults.py`. Its sequence is steps
    of time, one vector a modality and step: groups of layers, each a mean, side by side.
    """

    hidden_size: int = 1152
    """A third of it is each modality's."""
    num_layers: int = 8
    num_heads: int = 8
    max_seq_len: int = 1024
    head_width: int = 2048
    steps: int = 8
    """In one sequence, of half a second each (`video_hz` = 2)."""
    depths: tuple[float, ...] = (0.5, 0.75, 1.0)
    """Bounds of the groups of layers, as fractions of an encoder's depth (`layers_to_use`)."""

    @property
    def groups(self) -> int:
        """Vectors of each encoder that stand side by side."""
        return len(self.depths) - 1

    def bounds(self, layers: int) -> list[tuple[int, int]]:
        """Each group's first hidden state and the one behind its last, of `layers` + 1.

        neuralset `extractors/base.py`, `_aggregate_layers`, "group_mean".
        """
        cuts = [int(depth * layers) for depth in self.depths]
        cuts[-1] += 1
        if any(low >= high for low, high in pairwise(cuts)):
            raise ConfigWrong(
                "a group of layers is empty",
                f"depths {self.depths} of {layers} layers",
                "use depths further apart, or an encoder with more layers",
            )
        return list(pairwise(cuts))


class TribeConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """All of it."""

    video: VideoEncoder
    audio: AudioEncoder
    text: TextEncoder
    fusion: Fusion = Fusion()
    low_rank: LowRank | None = None
    """With it, `fusion` is not used."""
    rates: Rates = Rates()
    sources: dict[str, Published] = {}
    """Where each is published: video, audio, text, and the fusion where it is TRIBE v2's."""

    @property
    def pooled_width(self) -> int:
        """Of the pooled features."""
        return self.fusion.hidden_size if self.low_rank is None else self.low_rank.head_width

    @property
    def over(self) -> FusionKind:
        """What the fusion's sequence is made of."""
        return "tokens" if self.low_rank is None else "steps"

    @property
    def made(self) -> dict[str, int]:
        """Tokens that each modality makes."""
        return {name: getattr(self, name).tokens for name in MODALITIES}

    @property
    def widths(self) -> dict[str, int]:
        """Numbers in a token of each modality, ahead of its projector."""
        return {name: getattr(self, name).hidden_size for name in MODALITIES}

    def kept(self) -> dict[str, list[int]]:
        """Places of the tokens of each modality that reach the fusion; none is an empty list.

        Raises `ConfigWrong` where a budget asks for more than there is.
        """
        if self.low_rank is not None:
            return {name: list(range(self.low_rank.steps)) for name in MODALITIES}
        if self.fusion.budget is None:
            return _cut(self.made, self.fusion.max_seq_len)
        return _spread(self.made, self.fusion.budget, self.fusion.max_seq_len)

    def lost(self) -> list[str]:
        """What the cut takes from the heads, a line a modality; to be said at every build."""
        lines: list[str] = []
        if self.low_rank is not None:
            return lines
        for name, places in self.kept().items():
            made = self.made[name]
            if not places:
                lines.append(f"{name} never reaches the heads: all of its {made} tokens are cut")
            elif len(places) < made:
                lines.append(f"{name}: {len(places)} of {made} tokens reach the heads")
        return lines


def _cut(made: Mapping[str, int], room: int) -> dict[str, list[int]]:
    kept = {}
    for name in MODALITIES:
        kept[name] = list(range(min(made[name], room)))
        room -= len(kept[name])
    return kept


def _spread(made: Mapping[str, int], budget: Budget, room: int) -> dict[str, list[int]]:
    wanted = {name: getattr(budget, name) for name in MODALITIES}
    over = [name for name in MODALITIES if not 0 <= wanted[name] <= made[name]]
    if over or not 0 < sum(wanted.values()) <= room:
        raise ConfigWrong(
            "the token budget does not fit",
            f"wanted {wanted}, made {dict(made)}, room for {room}",
            "lower the budget of some modality",
        )
    # Text is causal and padded behind: it keeps its beginning.
    kept = {
        name: [place * made[name] // wanted[name] for place in range(wanted[name])]
        for name in MODALITIES
    }
    kept["text"] = list(range(wanted["text"]))
    return kept
