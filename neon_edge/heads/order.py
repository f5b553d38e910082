"""A checkpoint's joints found among a robot's, by name, and never by position."""

from __future__ import annotations

import difflib

import numpy as np
import numpy.typing as npt

from neon_edge.errors import PlanUnfit

Indices = npt.NDArray[np.intp]


def driven_joints(checkpoint_names: list[str], robot_names: list[str]) -> Indices:
    """Where each of the checkpoint's joints stands in the robot's order, (driven,).

    A robot may have joints that the checkpoint does not drive; a joint that the checkpoint drives
    and the robot lacks is refused by name.
    """
    place = {name: index for index, name in enumerate(robot_names)}
    missing = [name for name in checkpoint_names if name not in place]
    if missing:
        near = difflib.get_close_matches(missing[0], robot_names, n=1)
        hint = f"; is {missing[0]!r} the robot's {near[0]!r}?" if near else ""
        raise PlanUnfit(
            "the heads drive joints that this robot does not have",
            f"{', '.join(missing)}{hint}",
            "use the robot that the checkpoint was trained for, or rename the joints in its file",
        )
    return np.array([place[name] for name in checkpoint_names], dtype=np.intp)
