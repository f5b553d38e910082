"""Gripper columns: a head gives an opening from 0 to 1, a motor wants radians, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neon_edge.engine.manifest import HeadsManifest
from neon_edge.errors import PlanUnfit
from neon_edge.heads.order import Indices
from neon_edge.types import Float32


class Grippers:
    """The checkpoint's columns that are openings, and where the robot's joints stand for 0 and 1.

    Raises `PlanUnfit` for a gripper whose joint says no `opening`.
    """

    def __init__(
        self,
        manifest: HeadsManifest,
        driven: Indices,
        openings: Mapping[str, tuple[float, float]],
    ) -> None:
        for name in manifest.grippers:
            if name not in openings:
                raise PlanUnfit(
                    f"the heads open and close {name!r}, and the robot does not say how far",
                    "its column is an opening from 0 to 1, not an angle",
                    f"give joint {name!r} an opening = [rad at 0, rad at 1]",
                )
        self._columns = np.array(
            [manifest.joint_names.index(name) for name in manifest.grippers], dtype=np.intp
        )
        self._joints = driven[self._columns]
        ends = np.array([openings[name] for name in manifest.grippers], np.float32).reshape(-1, 2)
        self._zero: Float32 = ends[:, 0]
        self._span: Float32 = ends[:, 1] - ends[:, 0]

    def to_joints(self, position: Float32) -> None:
        """Openings in `position` (joints,) become rad, in place; beyond 0 or 1 is 0 or 1."""
        if len(self._joints):
            opening = np.clip(position[self._joints], 0.0, 1.0)
            position[self._joints] = self._zero + self._span * opening

    def to_columns(self, columns: Float32) -> None:
        """Angles in `columns` (columns,) become openings, in place."""
        if len(self._columns):
            columns[self._columns] = (columns[self._columns] - self._zero) / self._span
