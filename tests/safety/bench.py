"""A safety filter fed by hand, tick after tick."""

import numpy as np

from neon_edge.config import DamiaoMotor, Joint, RobotConfig, SafetyLimits
from neon_edge.config.robot import CanBus
from neon_edge.safety.filter import SafetyFilter
from neon_edge.types import Features, Health, JointCommand, JointState, Setpoint

N = 4
TICK_NS = 20_000_000
START_NS = 10_000_000_000
SAFETY = SafetyLimits(ramp_s=1.0)


AT_ONCE = (1e6, 1e12)
"""rad/s², rad/s³: far more than velocity allows, so that positions alone tell what was done."""


def robot(safety: SafetyLimits = SAFETY, rates: tuple[float, float] = AT_ONCE) -> RobotConfig:
    joints = [
        Joint(
            name=f"j{i}", bus="b", motor=DamiaoMotor(id=i + 1, feedback_id=i + 17),
            lower=-1.0 - i, upper=1.0 + i, velocity=2.0 + i, effort=10.0,
            acceleration=rates[0], jerk=rates[1],
        )
        for i in range(N)
    ]  # fmt: skip
    return RobotConfig(
        name="test", engines="none", joints=joints, buses=[CanBus(name="b", channel="can0")],
        safety=safety,
    )  # fmt: skip


class Bench:
    """A filter fed by hand, tick after tick."""

    def __init__(
        self,
        driven: list[int] | None = None,
        safety: SafetyLimits = SAFETY,
        config: RobotConfig | None = None,
    ) -> None:
        self.robot = config or robot(safety)
        chosen = np.array(range(N) if driven is None else driven, dtype=np.intp)
        self.filter = SafetyFilter(self.robot, chosen)
        self.measured = np.array([0.5, -0.5, 0.0, 0.25], dtype=np.float32)
        self.now_ns = START_NS
        self.filter.start(self.measured, self.now_ns)

    def tick(
        self,
        wanted: np.ndarray | float,
        *,
        features_age_ms: float | None = 100,
        joint_age_ms: float = 15,
        base: tuple[float, float, float] = (0, 0, 0),
        velocity: np.ndarray | float = 0.0,
        health: Health | None = None,
        setpoint_age_ms: float = 0,
        after_ms: float = 20,
        base_age_ms: float | None = None,
    ) -> JointCommand:
        self.now_ns += round(after_ms * 1e6)
        position = np.zeros(N, dtype=np.float32) + np.float32(wanted)
        received = np.full(N, self.now_ns - round(joint_age_ms * 1e6), dtype=np.int64)
        speed = np.zeros(N, dtype=np.float32) + np.float32(velocity)
        joints = JointState(self.measured, speed, np.zeros_like(position), received)
        if base_age_ms is not None:
            joints.base_received_ns = self.now_ns - round(base_age_ms * 1e6)
        features = None
        captured_ns = 0
        if features_age_ms is not None:
            captured_ns = self.now_ns - round(features_age_ms * 1e6)
            features = Features(np.zeros(8, np.float32), captured_ns, captured_ns, 1, 1)
        setpoint = Setpoint(
            position,
            np.array(base, np.float32),
            captured_ns,
            self.now_ns - round(setpoint_age_ms * 1e6),
        )
        return self.filter.filter(
            setpoint if features is not None else None,
            joints,
            features,
            health or Health(),
            self.now_ns,
        )
