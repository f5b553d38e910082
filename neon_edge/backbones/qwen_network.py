"""A Qwen family's model class as transformers defines it: made without memory, filled by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from neon_edge.backbones.contract import TensorSource
from neon_edge.backbones.qwen_config import Text, Vision, WindowedVision
from neon_edge.engine.manifest import AudioGeometry, ImageGeometry


class Network(ABC):
    """The family's `visual` and `language_model`, and what transformers computes around them."""

    published_prefixes: ClassVar[Mapping[str, str]]
    """How names of the model begin, and how the same names begin in the checkpoint files."""

    @abstractmethod
    def make(self) -> Any:
        """The whole base model, eager; called on the meta device."""

    @abstractmethod
    def restore(self, model: Any) -> None:
        """Compute anew what is computed and not stored: rotary frequencies."""

    @abstractmethod
    def vision(self, tower: Any, image: ImageGeometry) -> nn.Module:
        """The tower with folded geometry: patches → image_embeds and what else it adds."""

    @abstractmethod
    def positions(
        self, model: Any, ids: Tensor, image: ImageGeometry, audio: AudioGeometry | None = None
    ) -> Tensor:
        """Rotary positions (3, 1, T) of token ids (1, T) around the pictures of one pass."""

    def audio(self, tower: Any, audio: AudioGeometry) -> nn.Module:
        """The audio tower with folded geometry: mel → audio_embeds."""
        raise NotImplementedError(f"{type(self).__name__} has no audio tower")

    def asked(self, ids: Tensor) -> dict[str, Tensor]:
        """What `forward` wants beside ids and pictures."""
        return {}

    def times(self, seconds: Tensor) -> dict[str, Tensor]:
        """What `forward` wants of a video beside its grid: (videos,) seconds from pair to pair."""
        return {"second_per_grid_ts": seconds}

    def rotary(self, model: Any, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cos and sin (1, T, head)."""
        language = model.language_model
        table = type(language.rotary_emb)(language.config)
        return cast("tuple[Tensor, Tensor]", table(torch.zeros(1), positions))

    def empty(self) -> Any:
        """The model without memory: every tensor on the meta device."""
        with torch.device("meta"):
            model = self.make()
        return model.eval().requires_grad_(False)

    def published_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the path under its published name."""
        state = self.empty().state_dict()
        return {self.published(name): tuple(tensor.shape) for name, tensor in state.items()}

    def published(self, name: str) -> str:
        """A name of the model as the checkpoint files spell it."""
        for ours, theirs in self.published_prefixes.items():
            if name.startswith(ours):
                return theirs + name[len(ours) :]
        raise KeyError(name)

    def filled(self, module: Any, prefix: str, source: TensorSource) -> Any:
        """Give a meta module its weights in place; `prefix` is its name in the model."""
        state = {name: source.tensor(self.published(prefix + name)) for name in module.state_dict()}
        module.load_state_dict(state, assign=True)
        return module.requires_grad_(False)


class MarkedNetwork(Network):
    """A family whose model is told which tokens are a picture's: Qwen2.5-VL and later."""

    config: Any

    def positions(
        self, model: Any, ids: Tensor, image: ImageGeometry, audio: AudioGeometry | None = None
    ) -> Tensor:
        """As `get_rope_index` counts them."""
        timed = self.times(between_pairs(image)) if image.video_fps else {}
        positions, _ = model.get_rope_index(
            ids, **self.asked(ids), **grids(image), **timed, attention_mask=torch.ones_like(ids)
        )
        return cast("Tensor", positions)

    def asked(self, ids: Tensor) -> dict[str, Tensor]:
        """Which tokens are a picture's (1), and which a video's (2)."""
        tokens = self.config.tokens
        kinds = (ids == tokens.image).to(torch.int32) + 2 * (ids == tokens.video).to(torch.int32)
        return {"mm_token_type_ids": kinds}


def grids(image: ImageGeometry, moments: int = 1) -> dict[str, Tensor]:
    """Steps, rows and columns of patches of every picture or video, in transformers' words."""
    each = image.window // image.depth if image.video_fps else 1
    rows = torch.tensor([[each, *image.grid]] * (image.steps // each * moments))
    return {"video_grid_thw" if image.video_fps else "image_grid_thw": rows}


def between_pairs(image: ImageGeometry, moments: int = 1) -> Tensor:
    """(videos,) seconds from one pair of frames to the next."""
    videos = image.count // image.window * moments
    return torch.tensor([image.depth / image.video_fps] * videos)


def eager(config: Any) -> Any:
    """`config` with plain attention in every part."""
    for part in (config, config.text_config, config.vision_config):
        part._attn_implementation = "eager"
    return config


def text_words(text: Text) -> dict[str, Any]:
    """A decoder's configuration in transformers' words."""
    return {
        "hidden_size": text.hidden_size,
        "num_hidden_layers": text.num_layers,
        "num_attention_heads": text.num_heads,
        "num_key_value_heads": text.num_kv_heads,
        "intermediate_size": text.intermediate_size,
        "vocab_size": text.vocab_size,
        "rms_norm_eps": text.rms_norm_eps,
        "max_position_embeddings": text.max_positions,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": text.rope_theta,
            "mrope_section": list(text.mrope_section),
        },
    }


def vision_words(vision: Vision, width: int) -> dict[str, Any]:
    """A tower's configuration in transformers' words; `width` is the decoder's."""
    return {
        "depth": vision.depth,
        "hidden_size": vision.hidden_size,
        "num_heads": vision.num_heads,
        "intermediate_size": vision.intermediate_size,
        "patch_size": vision.patch_size,
        "temporal_patch_size": vision.temporal_patch_size,
        "spatial_merge_size": vision.spatial_merge_size,
        "out_hidden_size": width,
    }


def windowed_words(vision: WindowedVision, width: int) -> dict[str, Any]:
    """A tower with windows."""
    return vision_words(vision, width) | {
        "window_size": vision.window_size,
        "fullatt_block_indexes": vision.full_attention,
    }


def audio_part(network: Network, audio: AudioGeometry, source: TensorSource) -> nn.Module:
    """The audio tower with its weights."""
    tower = network.filled(network.empty().audio_tower, "audio_tower.", source)
    return network.audio(tower, audio).eval()


def vision_part(network: Network, image: ImageGeometry, source: TensorSource) -> nn.Module:
    """The vision tower with its weights."""
    tower = network.filled(network.empty().visual, "visual.", source)
    return network.vision(tower, image).eval()
