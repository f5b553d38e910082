"""Setpoint in, joint command out: finite, held when inputs are old, ramped, inside every limit."""

from __future__ import annotations

import numpy as np

from neon_edge.config import RobotConfig
from neon_edge.errors import ConfigWrong
from neon_edge.safety.limits import Limits
from neon_edge.safety.watch import RUNG_FOR, Cause, Watch, all_finite
from neon_edge.types import Features, Float32, JointCommand, JointState, Rung, Setpoint


def smooth(fraction: float) -> float:
    """Minimum-jerk blend: 0 at 0, 1 at 1, no velocity or acceleration at either end."""
    held = min(max(fraction, 0.0), 1.0)
    return held * held * held * (10.0 - 15.0 * held + 6.0 * held * held)


class SafetyFilter:
    """Remembers what was last commanded; everything else is judged from this tick's inputs.

    `driven` are the indices of the joints that the heads drive; the others stay where they were
    measured at start. Call `start` with the measured pose before the first `filter`.
    """

    def __init__(self, robot: RobotConfig, driven: np.typing.NDArray[np.intp]) -> None:
        joints = len(robot.joints)
        self._names = robot.joint_names
        self._limits = Limits(robot)
        self._watch = Watch(robot.safety)
        self._driven = driven
        self._outside = robot.safety.start_outside_rad
        self._ramp_ns = round(robot.safety.ramp_s * 1e9)
        self._anchor: Float32 = np.zeros(joints, dtype=np.float32)
        self._wanted: Float32 = np.zeros(joints, dtype=np.float32)
        self._previous: Float32 = np.zeros(joints, dtype=np.float32)
        self._zeros: Float32 = np.zeros(joints, dtype=np.float32)
        self._base: Float32 = np.zeros(3, dtype=np.float32)
        self._kp: Float32 = np.array([joint.kp for joint in robot.joints], dtype=np.float32)
        self._kd: Float32 = np.array([joint.kd for joint in robot.joints], dtype=np.float32)
        self._ramp_from_ns = 0
        self._features_ns = 0
        self.cause = Cause.NO_FEATURES
        """Why the robot is not simply running, as of the last tick."""
        self.clipped = 0
        """Joints whose wanted position the limits changed, as of the last tick."""

    def start(self, measured: Float32) -> None:
        """Latch the measured pose (joints,). Raises `ConfigWrong` where no start is safe."""
        if not all_finite(measured):
            raise ConfigWrong(
                "a joint's measured position is not a number",
                f"measured {measured.tolist()}",
                "check the motor and its encoder; the robot stays off",
            )
        raw = np.maximum(self._limits.lower - measured, measured - self._limits.upper)
        worst = int(raw.argmax())
        if float(raw[worst]) > self._outside:
            raise ConfigWrong(
                f"joint {self._names[worst]!r} stands outside its limits",
                f"measured {measured[worst]:.4f} rad, allowed "
                f"{self._limits.lower[worst]:.4f} to {self._limits.upper[worst]:.4f}",
                "move it inside by hand, or correct its limits or offset in the robot file",
            )
        self._anchor[:] = measured
        self._previous[:] = measured
        self.cause = Cause.NO_FEATURES

    def filter(
        self,
        setpoint: Setpoint | None,
        joints: JointState,
        features: Features | None,
        now_ns: int,
    ) -> JointCommand:
        """Make this tick's command. Its arrays belong to the filter until the next call."""
        cause = self._watch.cause(features, joints, setpoint, now_ns)
        if cause is not self.cause:
            self._change(cause, now_ns)
        rung = RUNG_FOR[cause]
        if rung is Rung.RUN and setpoint is not None:
            self._follow(setpoint, now_ns)
        else:
            self._hold()
        return JointCommand(
            self._previous,
            self._zeros,
            self._kp,
            self._kd,
            self._zeros,
            self._base,
            rung,
            self._features_ns,
            now_ns,
        )

    def _change(self, cause: Cause, now_ns: int) -> None:
        # Ramps and holds start from the last command: motors are tracking it, so nothing jumps,
        # and an arm that sags under gravity does not sag further with every hold.
        self._anchor[:] = self._previous
        self._ramp_from_ns = now_ns
        self.cause = cause

    def _follow(self, setpoint: Setpoint, now_ns: int) -> None:
        wanted = self._wanted
        np.copyto(wanted, self._anchor)
        wanted[self._driven] = setpoint.position[self._driven]
        self._limits.clamp_position(wanted)
        self.clipped = int(
            np.count_nonzero(wanted[self._driven] != setpoint.position[self._driven])
        )
        blend = smooth((now_ns - self._ramp_from_ns) / self._ramp_ns)
        if blend < 1.0:
            np.subtract(wanted, self._anchor, out=wanted)
            np.multiply(wanted, np.float32(blend), out=wanted)
            np.add(wanted, self._anchor, out=wanted)
        self._limits.clamp_step(wanted, self._previous)
        np.copyto(self._previous, wanted)
        np.multiply(setpoint.base_velocity, np.float32(blend), out=self._base)
        self._limits.clamp_base(self._base)
        self._features_ns = setpoint.features_ns

    def _hold(self) -> None:
        self.clipped = 0
        self._base[:] = 0.0
