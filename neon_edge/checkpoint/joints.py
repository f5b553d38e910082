"""The joints that upstream's action spaces name, with the limits its heads were trained in.

Facts of `neon-vla` 0.1.5, `neon/data/action_space.py` (MIT), which takes them from GR00T
Whole-Body-Control's `g1_29dof_sonic_model12.yaml`. They differ from the URDF's: a checkpoint's
[-1, 1] means these numbers and no others.
"""

from __future__ import annotations

from typing import NamedTuple


class JointLimits(NamedTuple):
    """One column of a chunk. rad for joints; m, rad and opening (0 to 1) for aerial columns."""

    name: str
    group: str
    lower: float
    upper: float
    default: float
    kp: float
    """N·m/rad"""
    kd: float
    """N·m·s/rad"""
    velocity: float
    """rad/s"""
    effort: float
    """N·m"""


# fmt: off
BODY = (
    JointLimits("left_hip_pitch", "left_leg", -2.5307, 2.8798, -0.1, 150.0, 2.0, 32.0, 88.0),
    JointLimits("left_hip_roll", "left_leg", -0.5236, 2.9671, 0.0, 150.0, 2.0, 32.0, 88.0),
    JointLimits("left_hip_yaw", "left_leg", -2.7576, 2.7576, 0.0, 150.0, 2.0, 32.0, 88.0),
    JointLimits("left_knee", "left_leg", -0.0873, 2.8798, 0.3, 200.0, 4.0, 20.0, 139.0),
    JointLimits("left_ankle_pitch", "left_leg", -0.8727, 0.5236, -0.2, 40.0, 2.0, 37.0, 50.0),
    JointLimits("left_ankle_roll", "left_leg", -0.2618, 0.2618, 0.0, 40.0, 2.0, 37.0, 50.0),
    JointLimits("right_hip_pitch", "right_leg", -2.5307, 2.8798, -0.1, 150.0, 2.0, 32.0, 88.0),
    JointLimits("right_hip_roll", "right_leg", -2.9671, 0.5236, 0.0, 150.0, 2.0, 32.0, 88.0),
    JointLimits("right_hip_yaw", "right_leg", -2.7576, 2.7576, 0.0, 150.0, 2.0, 32.0, 88.0),
    JointLimits("right_knee", "right_leg", -0.0873, 2.8798, 0.3, 200.0, 4.0, 20.0, 139.0),
    JointLimits("right_ankle_pitch", "right_leg", -0.8727, 0.5236, -0.2, 40.0, 2.0, 37.0, 50.0),
    JointLimits("right_ankle_roll", "right_leg", -0.2618, 0.2618, 0.0, 40.0, 2.0, 37.0, 50.0),
    JointLimits("waist_yaw", "torso", -2.618, 2.618, 0.0, 250.0, 5.0, 32.0, 88.0),
    JointLimits("waist_roll", "torso", -0.52, 0.52, 0.0, 250.0, 5.0, 37.0, 50.0),
    JointLimits("waist_pitch", "torso", -0.52, 0.52, 0.0, 250.0, 5.0, 37.0, 50.0),
    JointLimits("left_shoulder_pitch", "left_arm", -3.0892, 2.6704, 0.0, 100.0, 5.0, 37.0, 25.0),
    JointLimits("left_shoulder_roll", "left_arm", -1.5882, 2.2515, 0.0, 100.0, 5.0, 37.0, 25.0),
    JointLimits("left_shoulder_yaw", "left_arm", -2.618, 2.618, 0.0, 40.0, 2.0, 37.0, 25.0),
    JointLimits("left_elbow", "left_arm", -1.0472, 2.0944, 0.0, 40.0, 2.0, 37.0, 25.0),
    JointLimits("left_wrist_roll", "left_arm", -1.9722, 1.9722, 0.0, 20.0, 2.0, 37.0, 5.0),
    JointLimits("left_wrist_pitch", "left_arm", -1.6144, 1.6144, 0.0, 20.0, 2.0, 22.0, 5.0),
    JointLimits("left_wrist_yaw", "left_arm", -1.6144, 1.6144, 0.0, 20.0, 2.0, 22.0, 5.0),
    JointLimits("right_shoulder_pitch", "right_arm", -3.0892, 2.6704, 0.0, 100.0, 5.0, 37.0, 25.0),
    JointLimits("right_shoulder_roll", "right_arm", -2.2515, 1.5882, 0.0, 100.0, 5.0, 37.0, 25.0),
    JointLimits("right_shoulder_yaw", "right_arm", -2.618, 2.618, 0.0, 40.0, 2.0, 37.0, 25.0),
    JointLimits("right_elbow", "right_arm", -1.0472, 2.0944, 0.0, 40.0, 2.0, 37.0, 25.0),
    JointLimits("right_wrist_roll", "right_arm", -1.9722, 1.9722, 0.0, 20.0, 2.0, 37.0, 5.0),
    JointLimits("right_wrist_pitch", "right_arm", -1.6144, 1.6144, 0.0, 20.0, 2.0, 22.0, 5.0),
    JointLimits("right_wrist_yaw", "right_arm", -1.6144, 1.6144, 0.0, 20.0, 2.0, 22.0, 5.0),
)

HANDS = (
    JointLimits("left_hand_thumb_0", "left_hand", -1.0472, 1.0472, 0.0, 5.0, 0.1, 37.0, 25.0),
    JointLimits("left_hand_thumb_1", "left_hand", -0.7243, 1.0472, 0.0, 5.0, 0.1, 37.0, 25.0),
    JointLimits("left_hand_thumb_2", "left_hand", 0.0, 1.7453, 0.0, 5.0, 0.1, 37.0, 25.0),
    JointLimits("left_hand_index_0", "left_hand", -1.5708, 0.0, 0.0, 5.0, 0.1, 37.0, 25.0),
    JointLimits("left_hand_index_1", "left_hand", -1.7453, 0.0, 0.0, 5.0, 0.1, 37.0, 25.0),
    JointLimits("left_hand_middle_0", "left_hand", -1.5708, 0.0, 0.0, 5.0, 0.1, 37.0, 25.0),
    JointLimits("left_hand_middle_1", "left_hand", -1.7453, 0.0, 0.0, 5.0, 0.1, 37.0, 25.0),
    JointLimits("right_hand_thumb_0", "right_hand", -1.0472, 1.0472, 0.0, 5.0, 0.1, 37.0, 25.0),
    JointLimits("right_hand_thumb_1", "right_hand", -0.7243, 1.0472, 0.0, 5.0, 0.1, 37.0, 25.0),
    JointLimits("right_hand_thumb_2", "right_hand", 0.0, 1.7453, 0.0, 5.0, 0.1, 37.0, 25.0),
    JointLimits("right_hand_index_0", "right_hand", -1.5708, 0.0, 0.0, 5.0, 0.1, 37.0, 25.0),
    JointLimits("right_hand_index_1", "right_hand", -1.7453, 0.0, 0.0, 5.0, 0.1, 37.0, 25.0),
    JointLimits("right_hand_middle_0", "right_hand", -1.5708, 0.0, 0.0, 5.0, 0.1, 37.0, 25.0),
    JointLimits("right_hand_middle_1", "right_hand", -1.7453, 0.0, 0.0, 5.0, 0.1, 37.0, 25.0),
)

_MOVE = (
    JointLimits("delta_x", "aerial_pos", -2.0, 2.0, 0.0, 1.0, 0.1, 2.0, 10.0),
    JointLimits("delta_y", "aerial_pos", -2.0, 2.0, 0.0, 1.0, 0.1, 2.0, 10.0),
    JointLimits("delta_z", "aerial_pos", -1.0, 1.0, 0.0, 1.0, 0.1, 1.0, 10.0),
)
_YAW = JointLimits("delta_yaw", "aerial_rot", -3.14, 3.14, 0.0, 0.5, 0.05, 3.14, 5.0)
_GRIPPER = JointLimits("gripper", "aerial_gripper", 0.0, 1.0, 0.0, 1.0, 0.1, 5.0, 2.0)
_TILT = (
    JointLimits("delta_roll", "aerial_rot", -0.5, 0.5, 0.0, 0.5, 0.05, 1.0, 5.0),
    JointLimits("delta_pitch", "aerial_rot", -0.5, 0.5, 0.0, 0.5, 0.05, 1.0, 5.0),
)
# fmt: on


def _group(*names: str) -> tuple[JointLimits, ...]:
    return tuple(joint for name in names for joint in BODY if joint.group == name)


MODES: dict[str, tuple[JointLimits, ...]] = {
    "arms_only": _group("left_arm", "right_arm"),
    "upper_body": _group("left_arm", "right_arm", "torso"),
    "whole_body": BODY,
    "whole_body_hands": BODY + HANDS,
    "aerial_nav": (*_MOVE, _YAW),
    "aerial_manip": (*_MOVE, _YAW, _GRIPPER),
    "aerial_full": (*_MOVE, *_TILT, _YAW, _GRIPPER),
}
"""Columns of each control mode, in order; base velocities follow where the mode has them."""
