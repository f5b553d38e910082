"""Setpoint in, joint command out: on the right rung, ramped, and inside every limit."""

from __future__ import annotations

import numpy as np

from neon_edge.config import RobotConfig
from neon_edge.errors import ConfigWrong
from neon_edge.safety.base import BaseMotion
from neon_edge.safety.ladder import Ladder
from neon_edge.safety.limits import Limits
from neon_edge.safety.motion import robot_motion
from neon_edge.safety.watch import Cause, Judgement, Watch, refuse_not_finite
from neon_edge.types import (
    Features,
    Float32,
    Float64,
    Health,
    JointCommand,
    JointState,
    Rung,
    Setpoint,
)


def smooth(fraction: float) -> float:
    """Minimum-jerk blend: 0 at 0, 1 at 1, no velocity or acceleration at either end."""
    # It falls nowhere, so bounding the value bounds the fraction, and no rounding exceeds 1.
    blend = fraction * fraction * fraction * (10.0 - 15.0 * fraction + 6.0 * fraction * fraction)
    return min(max(blend, 0.0), 1.0)


class SafetyFilter:
    """Remembers what was last commanded; everything else is judged from this tick's inputs.

    `driven` are the indices of the joints that the heads drive; the others stay where they were
    measured at start. A new filter stands on OFF, disarmed. `start`, with the measured pose, arms
    it, and again after a damp: nothing else leads back up from there.
    """

    def __init__(self, robot: RobotConfig, driven: np.typing.NDArray[np.intp]) -> None:
        joints = len(robot.joints)
        self._names = robot.joint_names
        self._limits = Limits(robot)
        self._motion = robot_motion(robot, self._limits.lower, self._limits.upper)
        velocity = np.array([joint.velocity for joint in robot.joints], dtype=np.float32)
        silence_ms = [sensor.stale_after_ms for sensor in robot.live_sensors]
        self._watch = Watch(robot.safety, velocity, silence_ms)
        self._ladder = Ladder(robot.safety)
        self._by_heads = self._driven = driven
        self._outside = robot.safety.start_outside_rad
        self._ramp_ns = robot.safety.ramp_s * 1e9
        self._previous: Float32 = np.zeros(joints, dtype=np.float32)
        self._wanted: Float32 = np.empty(joints, np.float32)
        self._zeros: Float32 = np.zeros(joints, dtype=np.float32)
        self._base = BaseMotion(robot)
        self._kp: Float32 = np.array([joint.kp for joint in robot.joints], dtype=np.float32)
        self._kd: Float32 = np.array([joint.kd for joint in robot.joints], dtype=np.float32)
        self._features_ns = 0
        self.clipped = 0
        """Joints whose wanted position the limits changed, as of the last tick."""

    @property
    def now(self) -> Judgement:
        """Where on the ladder the robot stands, and why."""
        return self._ladder.now

    @property
    def cause(self) -> Cause:
        """Why the robot is not simply running, as of the last tick."""
        return self._ladder.now.cause

    @property
    def standing(self) -> Float32:
        """The last commanded pose (joints,), rad."""
        return self._previous

    def start(self, measured: Float32, now_ns: int) -> None:
        """Latch the measured pose (joints,) and stand on the top rung, to ramp away from it.

        Raises `ConfigWrong` where no start is safe.
        """
        refuse_not_finite(measured)
        beyond = np.maximum(self._limits.lower - measured, measured - self._limits.upper)
        worst = int(beyond.argmax())
        if float(beyond[worst]) > self._outside:
            raise ConfigWrong(
                f"joint {self._names[worst]!r} stands outside its limits",
                f"measured {measured[worst]:.4f} rad, allowed "
                f"{self._limits.lower[worst]:.4f} to {self._limits.upper[worst]:.4f}",
                "move it inside by hand, or correct its limits or offset in the robot file",
            )
        self._motion.reset(measured)
        self._base.stop()
        self._previous[:] = measured
        self._driven = self._by_heads
        self._watch.start(now_ns)
        self._ladder.start(now_ns)
        self._anchor_at(now_ns)

    def disarm(self) -> None:
        """Stand on OFF until `start`: how a control process that crashed comes back."""
        self._ladder.disarm()

    def park(self) -> None:
        """Until the next `start` setpoints come from no head: every joint follows, unseeing.

        Damp and off stay latched, and all else that speaks against moving still does.
        """
        self._driven = np.arange(len(self._names))
        self._watch.forgo_features()

    def filter(
        self,
        setpoint: Setpoint | None,
        joints: JointState,
        features: Features | None,
        health: Health,
        now_ns: int,
    ) -> JointCommand:
        """Make this tick's command. Its arrays belong to the filter until the next call."""
        if self._watch.stood_still(now_ns):
            # Nobody moved the goal, so the joints have stopped at the last one.
            self._motion.reset(self._previous)
        before = self._ladder.now.rung
        judgement = self._watch.judge(setpoint, joints, features, health, now_ns)
        stands = self._ladder.step(judgement, now_ns)
        if stands.rung >= Rung.HOLD or setpoint is None:
            self._stay(stands.rung)
        else:
            if before is Rung.HOLD:  # nothing graver ends by itself
                self._anchor_at(now_ns)
            self._follow(setpoint, stands.scale, now_ns)
        return JointCommand(
            self._previous,
            self._zeros,
            self._kp if stands.rung < Rung.DAMP else self._zeros,
            self._kd if stands.rung is not Rung.OFF else self._zeros,
            self._zeros,
            self._base.velocity,
            stands.rung,
            self._features_ns,
            now_ns,
        )

    def _anchor_at(self, now_ns: int) -> None:
        # A ramp starts where the commands come to rest: motors are tracking them, so nothing jumps,
        # and an arm that sags under gravity does not sag further with every hold.
        self._anchor: Float32 = self._motion.rest().astype(np.float32)
        self._ramp_from_ns = now_ns

    def _follow(self, setpoint: Setpoint, scale: float, now_ns: int) -> None:
        wanted = self._wanted
        np.copyto(wanted, self._anchor)
        wanted[self._driven] = setpoint.position[self._driven]
        self._limits.clamp_position(wanted)
        self.clipped = int(
            np.count_nonzero(wanted[self._driven] != setpoint.position[self._driven])
        )
        blend = smooth((now_ns - self._ramp_from_ns) / self._ramp_ns)
        if blend < 1.0:
            _towards(wanted, self._anchor, blend)
        if scale < 1.0:
            _towards(wanted, self._motion.rest(), scale)
        self._previous[:] = self._motion.step(wanted)
        self._base.towards(setpoint.base_velocity, share=blend * scale)
        self._features_ns = setpoint.features_ns

    def _stay(self, rung: Rung) -> None:
        self._previous[:] = self._motion.step(self._motion.rest())
        self.clipped = 0
        if rung < Rung.DAMP:
            self._base.brake()
        else:
            self._base.stop()


def _towards(wanted: Float32, origin: Float32 | Float64, share: float) -> None:
    """Only `share` of the way from `origin` to `wanted`, in place."""
    np.subtract(wanted, origin, out=wanted)
    np.multiply(wanted, np.float32(share), out=wanted)
    np.add(wanted, origin, out=wanted)
