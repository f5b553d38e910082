"""The 29 joints of a Unitree G1 in its SDK's order (LowCmd motor_cmd[0] to [28]).

Name, lower and upper rad, effort N·m, velocity rad/s, as unitree_ros has them at d6f13aa:
robots/g1_description/g1_29dof_rev_1_0.urdf, every name there with `_joint` behind it.
"""

from __future__ import annotations

SDK_ORDER: list[tuple[str, float, float, float, float]] = [
    ("left_hip_pitch", -2.5307, 2.8798, 88.0, 32.0),
    ("left_hip_roll", -0.5236, 2.9671, 139.0, 20.0),
    ("left_hip_yaw", -2.7576, 2.7576, 88.0, 32.0),
    ("left_knee", -0.087267, 2.8798, 139.0, 20.0),
    ("left_ankle_pitch", -0.87267, 0.5236, 35.0, 30.0),
    ("left_ankle_roll", -0.2618, 0.2618, 35.0, 30.0),
    ("right_hip_pitch", -2.5307, 2.8798, 88.0, 32.0),
    ("right_hip_roll", -2.9671, 0.5236, 139.0, 20.0),
    ("right_hip_yaw", -2.7576, 2.7576, 88.0, 32.0),
    ("right_knee", -0.087267, 2.8798, 139.0, 20.0),
    ("right_ankle_pitch", -0.87267, 0.5236, 35.0, 30.0),
    ("right_ankle_roll", -0.2618, 0.2618, 35.0, 30.0),
    ("waist_yaw", -2.618, 2.618, 88.0, 32.0),
    ("waist_roll", -0.52, 0.52, 35.0, 30.0),
    ("waist_pitch", -0.52, 0.52, 35.0, 30.0),
    ("left_shoulder_pitch", -3.0892, 2.6704, 25.0, 37.0),
    ("left_shoulder_roll", -1.5882, 2.2515, 25.0, 37.0),
    ("left_shoulder_yaw", -2.618, 2.618, 25.0, 37.0),
    ("left_elbow", -1.0472, 2.0944, 25.0, 37.0),
    ("left_wrist_roll", -1.97222, 1.97222, 25.0, 37.0),
    ("left_wrist_pitch", -1.61443, 1.61443, 5.0, 22.0),
    ("left_wrist_yaw", -1.61443, 1.61443, 5.0, 22.0),
    ("right_shoulder_pitch", -3.0892, 2.6704, 25.0, 37.0),
    ("right_shoulder_roll", -2.2515, 1.5882, 25.0, 37.0),
    ("right_shoulder_yaw", -2.618, 2.618, 25.0, 37.0),
    ("right_elbow", -1.0472, 2.0944, 25.0, 37.0),
    ("right_wrist_roll", -1.97222, 1.97222, 25.0, 37.0),
    ("right_wrist_pitch", -1.61443, 1.61443, 5.0, 22.0),
    ("right_wrist_yaw", -1.61443, 1.61443, 5.0, 22.0),
]
