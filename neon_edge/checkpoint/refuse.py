"""Checkpoints that upstream can write but never act with: refused, each with its reason.

Every case was run against `neon-vla` 0.1.5; the tests run them again.
"""

from __future__ import annotations

from neon_edge.checkpoint.actions import ActionSpace
from neon_edge.checkpoint.config import NeonConfig
from neon_edge.errors import ConfigWrong

_TRAIN_AGAIN = "it cannot have been evaluated; train it again with use_separate_heads = false"


def refuse_impossible(config: NeonConfig, actions: ActionSpace) -> None:
    """Raise `ConfigWrong` if no action can ever have come out of this configuration."""
    if config.action_head_type == "mlp" and config.use_separate_heads:
        _refuse_separate(config, actions)
    if config.action_head_type in ("dit", "ensemble"):
        _refuse_uneven("dit_hidden_dim", config.dit_hidden_dim, config.dit_num_heads)
    if config.action_head_type == "flow" and config.flow_use_cross_attention:
        _refuse_uneven("flow_hidden_dim", config.flow_hidden_dim, 4)
    if config.audio is not None and config.audio.enabled:
        _refuse_audio(config)
    for head, shape in (("fast", config.neon_edge_fast), ("jepa", config.neon_edge_jepa)):
        if (config.action_head_type == head) != (shape is not None):
            raise ConfigWrong(
                f"neon_edge_{head} belongs to heads of type {head!r}, and they to it",
                f"action_head_type {config.action_head_type!r}, neon_edge_{head} "
                f"{'missing' if shape is None else 'given'}",
                "write both into config.json, or neither",
            )


def separate_widths(config: NeonConfig, actions: ActionSpace) -> dict[str, int]:
    """Outputs of each separate head, in the order in which they are joined."""
    groups: dict[str, int] = {}
    for joint in actions.joints:
        groups[joint.group] = groups.get(joint.group, 0) + 1
    widths = {"arms": groups.get("left_arm", 0) + groups.get("right_arm", 0)}
    if config.control_mode in ("upper_body", "whole_body"):
        widths["torso_head"] = groups.get("torso", 0)
    if config.control_mode == "whole_body":
        widths["legs"] = groups.get("left_leg", 0) + groups.get("right_leg", 0)
    if config.include_locomotion:
        widths["locomotion"] = 3
    return {name: width for name, width in widths.items() if width}


def _refuse_separate(config: NeonConfig, actions: ActionSpace) -> None:
    widths = separate_widths(config, actions)
    if sum(widths.values()) != actions.action_dim:
        heads = ", ".join(f"{name} {width}" for name, width in widths.items()) or "none"
        raise ConfigWrong(
            f"separate heads do not cover {config.control_mode}",
            f"heads: {heads}; action_space.json declares {actions.action_dim} columns",
            _TRAIN_AGAIN,
        )
    if config.use_action_chunking and config.control_mode in ("upper_body", "whole_body"):
        raise ConfigWrong(
            f"separate heads with action chunking cannot act in {config.control_mode}",
            "upstream joins the arms' chunk (batch, steps, 14) to the waist's single row (batch, 3)"
            " and fails",
            _TRAIN_AGAIN,
        )


def _refuse_uneven(field: str, width: int, heads: int) -> None:
    if width % heads:
        raise ConfigWrong(
            f"{field} does not divide into its attention heads",
            f"{width} over {heads} heads",
            "no such network can be built; check config.json",
        )


def _refuse_audio(config: NeonConfig) -> None:
    assert config.audio is not None
    if config.backbone_type == "tribe":
        raise ConfigWrong(
            "a tribe backbone with a separate audio encoder cannot act",
            "upstream hands the audio to the backbone only, so its fusion layer lacks those inputs",
            "set audio to null and train again",
        )
    if config.audio.encoder_type == "omni":
        raise ConfigWrong(
            'audio encoder "omni" cannot act',
            "its fusion layer waits for audio features that upstream refuses to encode",
            'set audio to null, or encoder_type to "whisper", and train again',
        )
