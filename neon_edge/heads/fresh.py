"""The default strategy: run the heads every tick on fresh joint state over cached features.

Proprioception enters after the pooled feature, so this is a closed loop at the tick's rate and not
a replayed chunk: row 0 of each new chunk is what the head wants now.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from neon_edge.engine.contract import Engine
from neon_edge.engine.manifest import HeadsManifest
from neon_edge.errors import ConfigWrong, PlanUnfit
from neon_edge.heads.order import driven_joints
from neon_edge.types import Features, Float32, JointState, Setpoint

BASE = 3


class Heads(Protocol):
    """What the loop needs of a strategy."""

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int
    ) -> Setpoint | None:
        """What the heads want at `at_ns`, or None while there is nothing to want it from."""


class FreshHeads:
    """Heads on one engine, run at every tick.

    `sensors` are the readings that the checkpoint was trained with, by name; they are copied into
    the engine once, at start, and may be refreshed through `sensor`. Heads that sample get noise
    from `seed`, drawn anew with each features.
    """

    def __init__(
        self,
        engine: Engine,
        manifest: HeadsManifest,
        joint_names: list[str],
        sensors: dict[str, Float32],
        seed: int = 0,
    ) -> None:
        self._engine = engine
        self._noise = engine.inputs.get("noise")
        self._chance = np.random.default_rng(seed)
        self.driven = driven_joints(manifest.joint_names, joint_names)
        self._check_shapes(manifest)
        self._pooled = engine.inputs["pooled"]
        self._joints = engine.inputs.get("joints")
        self._row = engine.outputs["chunk"][0, 0]
        self._position: Float32 = np.zeros(len(joint_names), dtype=np.float32)
        self._base: Float32 = np.zeros(BASE, dtype=np.float32)
        self._has_base = manifest.base_velocity
        self._sequence = 0
        for spec in manifest.sensors:
            if spec.name not in sensors:
                raise ConfigWrong(
                    f"the checkpoint was trained with {spec.name!r}, and the robot has none",
                    f"the robot file names {', '.join(sorted(sensors)) or 'no sensors'}",
                    f"add a sensor called {spec.name!r} to the robot file",
                )
            self.sensor(spec.name, sensors[spec.name])

    def _check_shapes(self, manifest: HeadsManifest) -> None:
        width = len(manifest.joint_names) + (BASE if manifest.base_velocity else 0)
        shape = self._engine.outputs["chunk"].shape
        if shape != (1, manifest.steps, width):
            raise PlanUnfit(
                "the heads plan does not produce what its manifest says",
                f"chunk {shape}, manifest (1, {manifest.steps}, {width})",
                "build the plans again",
            )

    def sensor(self, name: str, reading: Float32) -> None:
        """Refresh one sensor's reading; raises `ConfigWrong` for another length."""
        buffer = self._engine.inputs[name]
        if buffer.size != np.size(reading):
            raise ConfigWrong(
                f"sensor {name!r} has another size than the checkpoint's",
                f"{np.size(reading)} values against {buffer.size}",
                "correct the sensor's value in the robot file",
            )
        np.copyto(buffer, np.reshape(reading, buffer.shape))

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int
    ) -> Setpoint | None:
        """Run the heads once; positions in the robot's order (undriven joints keep 0).

        The arrays of the result belong to the heads until the next call.
        """
        if features is None:
            return None
        if features.sequence != self._sequence:
            self._pooled[0] = features.pooled
            self._sequence = features.sequence
            if self._noise is not None:
                # Held until the next features: a head that samples anew each tick would tremble.
                self._chance.standard_normal(dtype=np.float32, out=self._noise)
        if self._joints is not None:
            driven = len(self.driven)
            self._joints[0, :driven] = joints.position[self.driven]
            if self._has_base:
                # Nothing measures base velocity here, so the last one wanted stands in for it.
                self._joints[0, driven:] = self._base
        self._engine.start()
        self._engine.wait()
        self._position[self.driven] = self._row[: len(self.driven)]
        if self._has_base:
            base = self._row[len(self.driven) :]
            # A NaN must not find its way back in: it would stay for ever.
            self._base[:] = base if np.isfinite(base).all() else 0.0
        return Setpoint(self._position, self._base, features.captured_ns, at_ns)
