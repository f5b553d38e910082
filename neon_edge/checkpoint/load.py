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
from neon_edge.engine.files import sha256_file
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32

PICTURE = 224
"""Side of depth maps and segmentations unless a recipe says otherwise, pixels."""

_BACKBONE = ("backbone.", "tribe_backbone.")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint. `module` is in eval mode and needs no gradient."""

    directory: Path
    config: NeonConfig
    actions: ActionSpace
    module: NeonHeads
    weights_sha256: str
    backbone_weights: dict[str, Tensor] = field(default_factory=dict)
    """Tensors that upstream trains or copies inside its backbone; the heads do not use them."""

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
        """Standard normal readings of every declared sensor: {name: (rows, *shape)}."""
        return {
            sensor.name: chance.standard_normal((rows, *sensor.shape), dtype=np.float32)
            for sensor in self.sensors
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
    backbone = {name: weights.pop(name) for name in list(weights) if name.startswith(_BACKBONE)}
    _refuse_trained_backbone(config, backbone)
    module = NeonHeads(config, actions, picture)
    fill(module, weights, path)
    module.eval().requires_grad_(False)
    return Checkpoint(directory, config, actions, module, sha256_file(path), backbone)


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
