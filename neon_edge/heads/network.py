"""The heads on their engine: a robot's arrays in, a chunk in the checkpoint's columns out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from neon_edge.engine.attended import open_feed
from neon_edge.engine.contract import Array, Engine
from neon_edge.engine.manifest import HeadsManifest
from neon_edge.errors import ConfigWrong, PlanUnfit
from neon_edge.heads.grippers import Grippers
from neon_edge.heads.order import driven_joints
from neon_edge.types import Features, Float32, JointState, Setpoint

BASE = 3


class HeadNetwork:
    """One inference of the heads, and the map between their columns and a robot's joints.

    An `engine` with an input `row` makes that row of the chunk alone: ask it for `row`, not `run`.

    `sensors` are the readings that the checkpoint was trained with, by name; they are copied into
    the engine once, at start, and refreshed through `sense`. Heads that sample get noise
    from `seed`, drawn anew with each features and held until the next, or with `keep_noise` drawn
    once: a head that sampled anew at every tick would tremble between its modes.

    `openings` are the robot's grippers: rad where a gripper's column is 0, and where it is 1.
    """

    def __init__(
        self,
        engine: Engine,
        manifest: HeadsManifest,
        joint_names: list[str],
        sensors: dict[str, Float32],
        seed: int = 0,
        keep_noise: bool = False,
        openings: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.engine = engine
        self._noise = engine.inputs.get("noise")
        self._row = engine.inputs.get("row")
        self._chance = np.random.default_rng(seed)
        self._keep_noise = keep_noise
        self.samples = self._noise is not None
        """Whether the same observation gives another chunk under another noise."""
        self.driven = driven_joints(manifest.joint_names, joint_names)
        """Where each of the checkpoint's joints stands in the robot's order."""
        self._grippers = Grippers(manifest, self.driven, openings or {})
        self.steps = manifest.steps
        self.prefix_rows = manifest.prefix_rows
        """Rows that a flow was trained to continue when given."""
        self.columns = len(manifest.joint_names) + (BASE if manifest.base_velocity else 0)
        self._check_shapes(manifest)
        self._pooled = engine.inputs["pooled"]
        self._tokens = open_feed(engine)
        self._joints = engine.inputs.get("joints")
        self.chunk: Float32 = engine.outputs["chunk"][0]
        """(steps, columns), rad and SI velocities, overwritten by every run; or (1, columns)."""
        self._position: Float32 = np.zeros(len(joint_names), dtype=np.float32)
        self._base: Float32 = np.zeros(BASE, dtype=np.float32)
        self._has_base = manifest.base_velocity
        self._felt: Float32 = self._base
        self._sequence = 0
        for spec in manifest.sensors:
            if spec.name not in sensors:
                raise ConfigWrong(
                    f"the checkpoint was trained with {spec.name!r}, and the robot has none",
                    f"the robot file names {', '.join(sorted(sensors)) or 'no sensors'}",
                    f"add a sensor called {spec.name!r} to the robot file",
                )
            self._check_sensor(spec.name, sensors[spec.name])
        self._senses: dict[str, Array] = {
            spec.name: engine.inputs[spec.name] for spec in manifest.sensors
        }
        self.sense(sensors)

    def _check_shapes(self, manifest: HeadsManifest) -> None:
        shape = self.engine.outputs["chunk"].shape
        rows = self.steps if self._row is None else 1
        if shape != (1, rows, self.columns):
            raise PlanUnfit(
                "the heads plan does not produce what its manifest says",
                f"chunk {shape}, manifest (1, {rows}, {self.columns})",
                "build the plans again",
            )
        drawn = None if self._noise is None else list(self._noise.shape)
        said = None if manifest.noise is None else manifest.noise.shape
        if drawn != said:
            raise PlanUnfit(
                "the heads plan takes other noise than its manifest says",
                f"plan {drawn or 'none'}, manifest {said or 'none'}",
                "build the plans again",
            )

    def _check_sensor(self, name: str, reading: Float32) -> None:
        shape = self.engine.inputs[name].shape[1:]
        # A list of numbers, as a constant is, may stand for any shape.
        if reading.size != math.prod(shape) or reading.shape not in (shape, (reading.size,)):
            raise ConfigWrong(
                f"sensor {name!r} has another size than the checkpoint's",
                f"{list(reading.shape)} values against {list(shape)}",
                "correct the sensor's value or shape in the robot file",
            )

    def sense(self, readings: Mapping[str, Float32]) -> None:
        """From now on the engine sees these, of those that the checkpoint was trained with."""
        for name, reading in readings.items():
            buffer = self._senses.get(name)
            if buffer is not None:
                np.copyto(buffer, reading.reshape(buffer.shape))

    @property
    def seen(self) -> Float32 | None:
        """Joints of the last run in the checkpoint's columns, (columns,); None for blind heads."""
        return None if self._joints is None else self._joints[0]

    def feel(self, joints: JointState) -> None:
        """From now on the base's own measurement stands for its velocity, where one is made."""
        self._felt = joints.base_velocity if joints.base_received_ns >= 0 else self._base

    def run(self, features: Features, position: Float32) -> Float32:
        """One inference on `features` and joint positions in the robot's order; gives `chunk`."""
        assert self._row is None, "this engine makes one row at a time"
        self._infer(features, position)
        return self.chunk

    def row(self, features: Features, position: Float32, at: int) -> Float32:
        """As `run`, but only row number `at` of the chunk: (columns,), alone where it can be."""
        if self._row is not None:
            self._row[0], at = at, 0
        self._infer(features, position)
        row: Float32 = self.chunk[at]
        return row

    def _infer(self, features: Features, position: Float32) -> None:
        self.fill(features, position)
        self.engine.start()
        self.engine.wait()

    def fill(self, features: Features, position: Float32) -> None:
        """Hand the engine its inputs, for who runs it piece by piece."""
        if features.sequence != self._sequence:
            self._pooled[0] = features.pooled
            if self._tokens is not None:
                # A backbone without any was refused when the plans were admitted.
                assert features.tokens is not None
                self._tokens.put(features.tokens)
            self._sequence = features.sequence
            if self._noise is not None and not (self._keep_noise and self._noise.any()):
                self._chance.standard_normal(dtype=np.float32, out=self._noise)
        if self._joints is not None:
            driven = len(self.driven)
            self._joints[0, :driven] = position[self.driven]
            self._grippers.to_columns(self._joints[0])
            if self._has_base:
                # Where nothing measures base velocity, the last one wanted stands in for it.
                self._joints[0, driven:] = self._felt

    def setpoint(self, row: Float32, features: Features, at_ns: int) -> Setpoint:
        """One row (columns,) as a setpoint in the robot's order; undriven joints keep 0.

        The arrays of the result belong to the network until the next call.
        """
        self._position[self.driven] = row[: len(self.driven)]
        self._grippers.to_joints(self._position)
        if self._has_base:
            base = row[len(self.driven) :]
            # A NaN must not find its way back in: it would stay for ever.
            self._base[:] = base if np.isfinite(base).all() else 0.0
        return Setpoint(self._position, self._base, features.captured_ns, at_ns)
