"""From a checkpoint directory to networks that are exactly what was trained, or an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from neon_edge.checkpoint.actions import ActionSpace, read_actions
from neon_edge.checkpoint.config import NeonConfig, read_config
from neon_edge.checkpoint.networks.encoders import Sensor
from neon_edge.checkpoint.networks.heads import NeonHeads
from neon_edge.checkpoint.refuse import refuse_impossible
from neon_edge.checkpoint.weights import FILE_NAME, fill, read_weights
from neon_edge.engine.action_tokens import PROCESSOR, TOKENIZER, ActionTokens, open_action_tokens
from neon_edge.engine.files import sha256_file
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32

PICTURE = 224
"""Side of depth maps and segmentations unless a recipe says otherwise, pixels."""

ACTION_TOKENIZER = "action_tokenizer"
"""Folder of a `fast` checkpoint: tokenizer.json and processor_config.json, as published."""

_RELATIVE = "action_head.inner_head."


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint. `module` is in eval mode and needs no gradient."""

    directory: Path
    config: NeonConfig
    actions: ActionSpace
    module: NeonHeads
    weights_sha256: str
    set_aside: dict[str, Tensor] = field(default_factory=dict)
    """Tensors of the file that no action depends on here: backbone, Whisper, speech output."""
    tokens: ActionTokens | None = None
    """What a `fast` head writes in."""

    @property
    def tokenizer_sha256(self) -> str:
        """Of the action tokenizer and its settings; empty where there is none."""
        if self.tokens is None:
            return ""
        folder = self.directory / ACTION_TOKENIZER
        return sha256_file(folder / TOKENIZER) + sha256_file(folder / PROCESSOR)

    @property
    def columns(self) -> list[str]:
        """A name for every column of a chunk: joints, then base velocity where there is one."""
        return self.actions.columns

    @property
    def steps(self) -> int:
        """Rows of a chunk."""
        return self.config.steps

    @property
    def sensors(self) -> list[Sensor]:
        """Declared sensors, in fusion order."""
        return self.module.sensors

    @property
    def random(self) -> bool:
        """True if our demo script drew these weights."""
        return self.actions.neon_edge_demo_seed is not None

    def sample_joints(self, rows: int, chance: np.random.Generator) -> Float32:
        """Joint states inside their limits, base velocities too: (rows, action_dim), SI."""
        spread = chance.uniform(-1, 1, (rows, len(self.columns)))
        sampled: Float32 = np.asarray(
            spread * self.actions.half_range + self.actions.middle, dtype=np.float32
        )
        return sampled

    def sample_sensors(self, rows: int, chance: np.random.Generator) -> dict[str, Float32]:
        """Standard normal values for every input but pooled features and joints.

        {name: (rows, *shape)}: declared sensors, and `noise` where the head samples.
        """
        shapes = {sensor.name: sensor.shape for sensor in self.sensors}
        if self.module.noise_shape is not None:
            shapes["noise"] = self.module.noise_shape
        return {
            name: chance.standard_normal((rows, *shape), dtype=np.float32)
            for name, shape in shapes.items()
        }


def load_checkpoint(directory: Path, picture: int = PICTURE) -> Checkpoint:
    """Read a directory that upstream's `save_pretrained` wrote.

    Raises `ConfigWrong` naming the file, field or tensor: unlike upstream, which logs a missing
    tensor and acts with random numbers in its place.
    """
    config = read_config(directory)
    actions = read_actions(directory, config)
    refuse_impossible(config, actions)
    path = directory / FILE_NAME
    weights = read_weights(path)
    aside = _set_aside(config)
    others = {name: weights.pop(name) for name in list(weights) if name.startswith(aside)}
    _refuse_trained_backbone(config, others)
    relative = any(name.startswith(_RELATIVE) for name in weights)
    tokens = None
    if config.action_head_type == "fast":
        tokens = open_action_tokens(directory / ACTION_TOKENIZER, config.steps, actions.action_dim)
    module = NeonHeads(config, actions, picture, relative, tokens)
    fill(module, weights, path)
    module.eval().requires_grad_(False)
    return Checkpoint(directory, config, actions, module, sha256_file(path), others, tokens)


def _set_aside(config: NeonConfig) -> tuple[str, ...]:
    prefixes = ["backbone."]
    if config.backbone_type == "tribe":
        prefixes.append("tribe_backbone.")
    if config.audio is not None and config.audio.enabled:
        if config.audio.enable_speech_output:
            prefixes.append("speech_head.")
        if config.audio.encoder_type == "whisper":
            prefixes.append("audio_encoder._encoder.")
    return tuple(prefixes)


def _refuse_trained_backbone(config: NeonConfig, backbone: dict[str, Tensor]) -> None:
    # With a frozen backbone upstream still saves those of its tensors whose names happen to contain
    # "audio", "dit", "seg" and the like. They are copies of published weights and change nothing.
    adapted = [name for name in backbone if "lora_" in name]
    own = [name for name in backbone if name.startswith("backbone.")]
    if adapted or (own and not config.backbone.freeze_backbone):
        raise ConfigWrong(
            "this checkpoint trained its backbone too",
            f"{len(backbone)} backbone tensors, such as {(adapted or own)[0]}",
            "heads are deployed on a frozen backbone: train with freeze_backbone = true",
        )
