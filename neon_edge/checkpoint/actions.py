"""`action_space.json`: what each column of a chunk moves, in order, and its physical range."""

from __future__ import annotations

import math
from pathlib import Path

from msgspec import Struct

from neon_edge.checkpoint.config import ControlMode, NeonConfig
from neon_edge.checkpoint.files import read_json
from neon_edge.checkpoint.joints import MODES, JointLimits
from neon_edge.errors import ConfigWrong

FILE_NAME = "action_space.json"
BASE_VELOCITY = ("base_vx", "base_vy", "base_omega")
"""Names of the last three columns where a mode has them: m/s, m/s, rad/s."""


class ActionSpace(Struct, frozen=True):
    """The file as upstream writes it, and fields of ours that upstream never reads."""

    mode: ControlMode
    include_locomotion: bool
    locomotion_limits: tuple[float, float, float]
    num_joints: int
    action_dim: int
    joint_names: list[str]
    neon_edge_demo_seed: int | None = None
    """Set by `scripts/make_checkpoint.py`: these weights are random and were never trained."""
    neon_edge_prefix_rows: int = 0
    """Written by who trained a flow to continue given rows: how many first rows at most stayed
    clean in training (arXiv 2512.05964)."""

    @property
    def joints(self) -> tuple[JointLimits, ...]:
        """The mode's joints, in column order."""
        return MODES[self.mode]

    @property
    def base_velocity(self) -> bool:
        """True if three columns of base velocity stand behind the joints."""
        return has_base_velocity(self.mode, self.include_locomotion)

    @property
    def columns(self) -> list[str]:
        """A name for every column of a chunk."""
        return [*self.joint_names, *(BASE_VELOCITY if self.base_velocity else ())]

    @property
    def middle(self) -> list[float]:
        """Centre of each column's range; SI, (action_dim,)."""
        centres = [(joint.lower + joint.upper) / 2 for joint in self.joints]
        return centres + ([0.0] * 3 if self.base_velocity else [])

    @property
    def half_range(self) -> list[float]:
        """Half of each column's range; SI, (action_dim,)."""
        halves = [(joint.upper - joint.lower) / 2 for joint in self.joints]
        return halves + (list(self.locomotion_limits) if self.base_velocity else [])


def has_base_velocity(mode: str, include_locomotion: bool) -> bool:
    """Aerial modes never carry base velocity, whatever the flag says."""
    return include_locomotion and not mode.startswith("aerial")


def action_space_of(config: NeonConfig, demo_seed: int | None = None) -> ActionSpace:
    """The action space that upstream derives from `config`, with its default base velocity."""
    joints = MODES[config.control_mode]
    extra = 3 if has_base_velocity(config.control_mode, config.include_locomotion) else 0
    return ActionSpace(
        mode=config.control_mode,
        include_locomotion=config.include_locomotion,
        locomotion_limits=(1.5, 0.5, 1.0),
        num_joints=len(joints),
        action_dim=len(joints) + extra,
        joint_names=[joint.name for joint in joints],
        neon_edge_demo_seed=demo_seed,
    )


def read_actions(directory: Path, config: NeonConfig) -> ActionSpace:
    """Read `action_space.json` and hold it against `config`. Raises `ConfigWrong`."""
    path = directory / FILE_NAME
    actions = read_json(path, ActionSpace)
    derived = action_space_of(config)
    for field in ("mode", "include_locomotion", "num_joints", "action_dim", "joint_names"):
        stated, expected = getattr(actions, field), getattr(derived, field)
        if stated != expected:
            raise ConfigWrong(
                f"action_space.json and config.json disagree about {field}",
                f"{path}: {_first_difference(stated, expected)} by config.json",
                "the two files come from different checkpoints; copy the directory again",
            )
    _check_prefix(path, actions.neon_edge_prefix_rows, config)
    if not all(math.isfinite(limit) and limit > 0 for limit in actions.locomotion_limits):
        raise ConfigWrong(
            "locomotion_limits must be three positive numbers",
            f"{path}: {list(actions.locomotion_limits)} (m/s, m/s, rad/s)",
            "save the checkpoint again",
        )
    return actions


def _check_prefix(path: Path, rows: int, config: NeonConfig) -> None:
    if rows and config.action_head_type != "flow":
        raise ConfigWrong(
            "only a flow can have been trained to continue given rows",
            f"{path}: neon_edge_prefix_rows = {rows}, action head {config.action_head_type!r}",
            "remove the field, or correct config.json",
        )
    if not 0 <= rows < config.steps:
        raise ConfigWrong(
            "neon_edge_prefix_rows must leave rows to make",
            f"{path}: {rows} of {config.steps} rows",
            "write how many rows at most stayed clean in training",
        )


def _first_difference(stated: object, expected: object) -> str:
    if isinstance(stated, list) and isinstance(expected, list) and len(stated) == len(expected):
        at = next(i for i, (a, b) in enumerate(zip(stated, expected, strict=True)) if a != b)
        return f"column {at} is {stated[at]!r}, {expected[at]!r}"
    if isinstance(stated, list) and isinstance(expected, list):
        return f"{len(stated)} names, {len(expected)}"
    return f"{stated!r}, {expected!r}"
