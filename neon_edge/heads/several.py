"""Several heads as one: each drives what it alone drives, and any of them may be swapped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neon_edge.config.check import refuse_shared
from neon_edge.config.heads import BASE
from neon_edge.config.robot import RobotConfig
from neon_edge.engine.manifest import HeadsManifest
from neon_edge.errors import PlanUnfit
from neon_edge.heads.blend import fading
from neon_edge.heads.network import HeadNetwork
from neon_edge.heads.order import Indices, driven_joints
from neon_edge.heads.strategy import Heads
from neon_edge.types import Features, Float32, JointState, Setpoint

NEVER_NS = 2**63 - 1
"""Later than anything."""


@dataclass(frozen=True)
class Head:
    """One head that runs: its network, its strategy, and what of its setpoint counts."""

    name: str
    network: HeadNetwork
    strategy: Heads
    drives: Indices
    """In the robot's order."""
    base: bool
    """Whether base velocity is its own."""


def driven_by(
    name: str, drives: Sequence[str], manifest: HeadsManifest, robot: RobotConfig
) -> tuple[Indices, bool]:
    """What the head called `name` drives of `robot`, and whether the base too.

    `drives` names joints and "base"; empty means all that the checkpoint has. Raises `PlanUnfit`
    for what it does not have.
    """
    has = [*manifest.joint_names, *([BASE] if manifest.base_velocity else [])]
    wanted = list(drives) or has
    missing = [each for each in wanted if each not in has]
    if missing:
        raise PlanUnfit(
            f"head {name!r} cannot drive {', '.join(missing)}",
            f"its checkpoint has {', '.join(has)}",
            "correct the head's `drives`, or give it another checkpoint",
        )
    joints = [each for each in wanted if each != BASE]
    return driven_joints(joints, robot.joint_names), BASE in wanted


class SeveralHeads:
    """Heads that run one behind the other in every tick; no two of them drive the same.

    None of it without all: where one wants nothing, nothing is wanted. Raises `ConfigWrong` where
    two drive the same.
    """

    def __init__(self, heads: Sequence[Head], robot: RobotConfig) -> None:
        self.heads = list(heads)
        refuse_overlaps({head.name: (head.drives, head.base) for head in heads}, robot.joint_names)
        self.driven: Indices = np.sort(np.concatenate([head.drives for head in heads]))
        self._rate_hz = robot.rate_hz
        joints = len(robot.joints)
        self._position: Float32 = np.zeros(joints, np.float32)
        self._base: Float32 = np.zeros(3, np.float32)
        self._known = False
        self._ramps: dict[int, _Ramp] = {}
        self.readings: Mapping[str, Float32] = {}
        """Of live sensors, by name: what every head senses from the next tick on."""

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int, tick: int
    ) -> Setpoint | None:
        """What they want together, as old as the oldest. The next call overwrites its arrays."""
        made_from_ns = NEVER_NS
        for place, head in enumerate(self.heads):
            head.network.feel(joints)
            head.network.sense(self.readings)
            wanted = head.strategy.setpoint(features, joints, at_ns, tick)
            if wanted is None:
                self._known = False
                return None
            made_from_ns = min(made_from_ns, wanted.features_ns)
            ramp = self._ramps.get(place)
            old = 0.0 if ramp is None else ramp.left()
            if ramp is None or old == 0.0:
                self._position[head.drives] = wanted.position[head.drives]
                if head.base:
                    self._base[:] = wanted.base_velocity
                continue
            new = np.float32(1.0 - old)
            self._position[head.drives] = (
                np.float32(old) * ramp.position[head.drives] + new * wanted.position[head.drives]
            )
            if head.base:
                self._base[:] = np.float32(old) * ramp.base + new * wanted.base_velocity
        self._known = True
        return Setpoint(self._position, self._base, made_from_ns, at_ns)

    def replace(self, place: int, head: Head, ramp_s: float) -> Head:
        """From the next tick on another head stands there; gives the one that stood there.

        Its setpoint takes over from the last one along a minimum-jerk ramp of `ramp_s`.
        """
        old, self.heads[place] = self.heads[place], head
        self._ramps.pop(place, None)
        # What the old head broke must not live on in a ramp.
        if self._known and bool(
            np.isfinite(self._position).all() and np.isfinite(self._base).all()
        ):
            ticks = max(1, round(ramp_s * self._rate_hz))
            self._ramps[place] = _Ramp(self._position.copy(), self._base.copy(), ticks)
        return old


class _Ramp:
    """From where a head was swapped: its last setpoint, and how much of it is left."""

    def __init__(self, position: Float32, base: Float32, ticks: int) -> None:
        self.position = position
        self.base = base
        self._left = fading(ticks)[:, 0, 0]
        self._tick = 0

    def left(self) -> float:
        """The old setpoint's share in the tick that begins: 0 once the ramp is over."""
        self._tick = min(self._tick + 1, len(self._left) - 1)
        return float(self._left[self._tick]) if self._tick < len(self._left) - 1 else 0.0


def refuse_overlaps(driven: dict[str, tuple[Indices, bool]], joint_names: Sequence[str]) -> None:
    """Raise `ConfigWrong`, with both heads' names, where two drive the same."""
    owners: dict[str, str] = {}
    for name, (joints, base) in driven.items():
        for what in [*(joint_names[joint] for joint in joints), *([BASE] if base else [])]:
            refuse_shared(owners, what, name)
