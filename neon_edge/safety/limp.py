"""The one joint command that needs no measured pose: no torque anywhere."""

from __future__ import annotations

import numpy as np

from neon_edge.types import JointCommand, Rung


def limp(joints: int, now_ns: int) -> JointCommand:
    """Rung OFF for so many joints: motors stay off, or go off, and are asked for their state."""
    zeros = np.zeros(joints, np.float32)
    base = np.zeros(3, np.float32)
    return JointCommand(zeros, zeros, zeros, zeros, zeros, base, Rung.OFF, 0, now_ns)
