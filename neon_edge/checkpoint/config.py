"""`config.json` of a checkpoint: the fields that shape the trained networks.

Upstream writes all of its `NeonConfig`, training settings included; fields we have no use for are
skipped, the others must have their type. Absent fields take upstream's defaults, as upstream's own
loader would (`neon-vla` 0.1.5, `neon/model/neon_vla.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from neon_edge.checkpoint.files import read_json

FILE_NAME = "config.json"

Size = Annotated[int, Meta(ge=1, le=1 << 20)]
ControlMode = Literal[
    "arms_only",
    "upper_body",
    "whole_body",
    "whole_body_hands",
    "aerial_nav",
    "aerial_manip",
    "aerial_full",
]
HeadType = Literal["mlp", "flow", "dit", "ensemble", "fast", "jepa"]
"""The last two are ours: upstream neither trains nor reads them."""


class BackboneSource(Struct, frozen=True):
    """The frozen backbone that the heads were trained on."""

    model_id: str = "Qwen/Qwen2.5-VL-7B-Instruct"
    hidden_size: Annotated[int, Meta(ge=0)] = 0
    """0: guessed from the model id."""
    freeze_backbone: bool = True
    fps: Size = 4
    max_frames: Size = 16
    image_size: Size = 224


class TribeSource(Struct, frozen=True):
    """The tri-modal backbone: its encoders' ids, and the fusion that was trained with the heads."""

    hidden_size: Size = 512
    video_model_id: str = "facebook/vjepa2-vitg-fpc64-256"
    audio_model_id: str = "facebook/w2v-bert-2.0"
    text_model_id: str = "meta-llama/Llama-3.2-3B"
    num_fusion_layers: Size = 4
    num_fusion_heads: Size = 8
    max_seq_len: Size = 512

    @property
    def model_id(self) -> str:
        """Of all encoders, as a recipe writes it."""
        ids = (self.video_model_id, self.audio_model_id, self.text_model_id)
        return " + ".join(dict.fromkeys(ids))


class AudioSource(Struct, frozen=True):
    """The spoken-command encoder."""

    enabled: bool = True
    encoder_type: Literal["whisper", "omni", "mel"] = "whisper"
    whisper_model: str = "openai/whisper-base"
    sample_rate: Size = 16000
    max_audio_seconds: Annotated[float, Meta(gt=0, le=600)] = 15.0
    audio_hidden_size: Size = 512
    projection_dim: Annotated[int, Meta(ge=0)] = 0
    """0: as wide as the pooled features."""
    enable_speech_output: bool = True


class FastShape(Struct, frozen=True, forbid_unknown_fields=True):
    """A `fast` head: an autoregressive network that writes FAST action tokens."""

    hidden: Size = 256
    layers: Size = 1
    budget: Size = 128
    """Tokens of a chunk at most; one that is longer is none."""


class JepaShape(Struct, frozen=True, forbid_unknown_fields=True):
    """A `jepa` head: a predictor of action embeddings and their decoder."""

    embedding: Size = 64
    hidden: Size = 256


class NeonConfig(Struct, frozen=True):
    """Everything that decides a tensor's name or shape, and how a chunk is sampled."""

    backbone: BackboneSource = BackboneSource()
    backbone_type: Literal["omni", "tribe"] = "omni"
    tribe_backbone: TribeSource | None = None
    control_mode: ControlMode = "arms_only"
    include_locomotion: bool = True
    action_head_type: HeadType = "mlp"
    num_action_steps: Size = 16
    mlp_hidden: Annotated[int, Meta(ge=2)] = 512
    action_head_layers: Size = 3
    use_separate_heads: bool = True
    use_action_chunking: bool = True
    flow_hidden_dim: Size = 512
    flow_num_layers: Size = 4
    flow_num_denoise_steps: Size = 4
    flow_use_cross_attention: bool = False
    flow_cross_attention_dim: Size | None = None
    dit_hidden_dim: Size = 384
    dit_num_layers: Size = 8
    dit_num_heads: Size = 6
    dit_num_denoise_steps: Size = 4
    use_proprioception: bool = True
    proprioception_hidden: Size = 128
    audio: AudioSource | None = None
    use_lidar: bool = False
    lidar_points: Size = 4096
    lidar_hidden: Size = 128
    use_eef: bool = False
    eef_dim: Size = 14
    eef_hidden: Size = 64
    use_gps: bool = False
    gps_dim: Size = 6
    gps_hidden: Size = 32
    use_depth: bool = False
    depth_hidden: Size = 64
    use_segmentation: bool = False
    seg_num_classes: Size = 20
    seg_hidden: Size = 64
    use_tactile: bool = False
    tactile_num_links: Size = 14
    tactile_ft_dim: Size = 6
    tactile_hidden: Size = 32
    use_imu: bool = False
    imu_dim: Size = 9
    imu_hidden: Size = 16
    use_force: bool = False
    force_dim: Size = 6
    force_hidden: Size = 16
    neon_edge_fast: FastShape | None = None
    neon_edge_jepa: JepaShape | None = None

    @property
    def model_id(self) -> str:
        """Of the backbone that the heads were trained on."""
        if self.backbone_type == "tribe":
            return (self.tribe_backbone or TribeSource()).model_id
        return self.backbone.model_id

    @property
    def pooled_width(self) -> int:
        """Width of the pooled features, by upstream's rule."""
        if self.backbone_type == "tribe":
            return (self.tribe_backbone or TribeSource()).hidden_size
        return self.backbone.hidden_size or _width_by_name(self.backbone.model_id)

    @property
    def steps(self) -> int:
        """Rows of a chunk: one where an `mlp` head was trained without chunking."""
        if self.action_head_type == "mlp" and not self.use_action_chunking:
            return 1
        return self.num_action_steps


def _width_by_name(model_id: str) -> int:
    # Upstream's guess, tested in its order. It is wrong for Cosmos-Reason2-2B, whose decoder is
    # 2048 wide; what counts here is what the trained fusion layer was built with.
    for part, width in (("7b", 3584), ("3b", 2048), ("2b", 1536), ("8b", 4096)):
        if part in model_id.lower():
            return width
    return 2048


OURS = ("neon_edge_fast", "neon_edge_jepa")
"""Fields that upstream does not know: there only with the heads that need them."""


def read_config(directory: Path) -> NeonConfig:
    """Read a checkpoint's `config.json`. Raises `ConfigWrong`."""
    return read_json(directory / FILE_NAME, NeonConfig)


def known_fields() -> set[str]:
    """Names of the fields that are read, for scripts that write a configuration."""
    return {field.encode_name for field in msgspec.structs.fields(NeonConfig)}


def as_dict(config: NeonConfig) -> dict[str, Any]:
    """As JSON-ready values, every field written out but those of heads that are not there."""
    built: dict[str, Any] = msgspec.to_builtins(config)
    return {key: value for key, value in built.items() if value is not None or key not in OURS}
