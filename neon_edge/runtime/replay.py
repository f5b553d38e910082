"""A recording once more through heads and safety: every command must come out bit for bit.

Joint state, features and health are the recording's; plans are those that the recording names, held
to their hashes. Whatever differs is a change of plan, code or machine, or chance where there must
be none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from msgspec import Struct

from neon_edge.errors import ConfigWrong
from neon_edge.runtime.headset import open_head, open_headset
from neon_edge.runtime.messages import POOLED, ROWS
from neon_edge.runtime.observed import Kind
from neon_edge.runtime.parking import Parking
from neon_edge.runtime.recorded_run import another_version, head_plans, recorded_run, same_head
from neon_edge.safety.filter import SafetyFilter
from neon_edge.telemetry.parts import following
from neon_edge.telemetry.recording import Recorded
from neon_edge.transport.sensors import Readings
from neon_edge.types import Features, Float32, Health, JointState, Setpoint


class Difference(Struct, frozen=True):
    """Where replay first parts from the recording."""

    tick: int
    what: str
    """A field of the setpoint or of the command, or why nothing could be compared."""
    joint: str
    recorded: str
    replayed: str


class ReplayReport(Struct, frozen=True):
    """A whole replay; keys are a promise to whoever reads `--json`."""

    recording: str
    robot: str
    ticks: int
    features: int
    processes: int
    """Control processes that the run had."""
    differing: int
    """Ticks whose command differs."""
    first: Difference | None
    cut_short: str
    """Where a damaged recording ended; empty for a whole one."""


def replay(path: Path, engines: str = "") -> ReplayReport:
    """Replay `path` with the plans it names, or those of `engines` if they are the same.

    Raises `ConfigWrong` for what is no recording, `PlanUnfit` for other plans than it was made by.
    """
    recorded = Recorded(path, following(path))
    rerun: _Rerun | None = None
    for message in recorded.messages():
        if message.topic not in (ROWS, POOLED):
            continue
        if rerun is None:
            rerun = _Rerun(recorded, engines)
        rerun.take(message.topic, message.payload)
    if rerun is None:
        raise ConfigWrong(
            f"{path} holds nothing to replay",
            recorded.cut_short or "no rows of a control process",
            "name a file of run --record that reached its first tick",
        )
    return rerun.report()


class _Rerun:
    def __init__(self, recorded: Recorded, engines: str) -> None:
        self._recorded = recorded
        run = recorded_run(recorded)
        self._robot = run.robot
        self._plans = head_plans(run, engines)
        self._orders = run.orders
        self._dtypes = run.dtypes
        self._safety: SafetyFilter | None = None
        self._features: dict[tuple[int, int], Features] = {}
        self._rows = run.manifest.backbone.shown
        self._kept = 0
        self._next_row = 0
        self._ticks = self._processes = self._differing = 0
        self._number = -1
        """Of the last tick."""
        self._first: Difference | None = None
        self._health = Health()
        self._readings = Readings(self._robot.live_sensors)
        self._health.sensors_ns = self._readings.heard_ns

    def take(self, topic: str, payload: bytes) -> None:
        row = np.frombuffer(payload, self._dtypes[topic])[0]
        if topic == POOLED:
            self._keep(row)
            return
        # Whoever drives the ring numbers rows without gaps, over restarts too.
        if self._next_row and int(row["row"]) != self._next_row:
            lost = int(row["row"]) - self._next_row
            self._differ(int(row["number"]), f"{lost} rows before this one were not recorded")
        self._next_row = int(row["row"]) + 1
        measured = row["position"].copy()
        if row["kind"] == Kind.BEGIN:
            self._begin(measured, int(row["at_ns"]))
            return
        safety = self._safety
        if safety is None:
            raise ConfigWrong(
                f"{self._recorded.path} does not say how its run began",
                f"its first row is tick {int(row['number'])} of a control process that was already "
                "running: the rows before it were not recorded",
                "replay a recording that was made with a faster disk, or more of this one's parts",
            )
        match int(row["kind"]):
            case Kind.ARM:
                safety.start(measured, int(row["at_ns"]))
            case Kind.DISARM:
                safety.disarm()
            case Kind.SWAP:
                self._swap(int(row["number"]))
            case Kind.TICK | Kind.UNASKED | Kind.PARK:
                self._tick(row, safety)
            case kind:
                raise another_version(self._recorded, f"it has rows of kind {kind}")

    def _keep(self, row: np.void) -> None:
        tokens = None
        if self._rows:
            tokens = row["tokens"].reshape(self._rows, -1)[: row["count"]].copy()
        features = Features(
            row["pooled"].copy(),
            int(row["captured_ns"]),
            int(row["published_ns"]),
            int(row["sequence"]),
            int(row["model_hash"]),
            int(row["instruction_id"]),
            tokens,
        )
        self._kept += 1
        # By both: a backbone killed before it published leaves its number to the next one.
        self._features[features.sequence, features.captured_ns] = features

    def _begin(self, measured: Float32, at_ns: int) -> None:
        self._processes += 1
        self._parking: Parking | None = None
        self._heads = open_headset(self._plans, self._robot)
        self._heads.readings = self._readings.by_name
        self._safety = SafetyFilter(self._robot, self._heads.driven)
        self._safety.start(measured, at_ns)

    def _swap(self, number: int) -> None:
        order = self._orders.get(number)
        if order is None:
            self._differ(self._number, f"the order of swap {number} was not recorded")
            return
        plan = same_head(order.plan, "")
        self._plans[order.place] = plan
        self._heads.replace(order.place, open_head(plan, self._robot), order.ramp_s)

    def _tick(self, row: np.void, safety: SafetyFilter) -> None:
        self._ticks += 1
        self._number = number = int(row["number"])
        at_ns, sequence = int(row["at_ns"]), int(row["sequence"])
        features = self._features.get((sequence, int(row["features_ns"])))
        if sequence and features is None:
            self._differ(number, f"features {sequence}, which this tick used, were not recorded")
            return
        # No tick goes back to older ones, and with tokens all of a run's would fill the memory.
        for key in [key for key in self._features if key[0] < sequence]:
            del self._features[key]
        joints = JointState(
            row["position"].copy(),
            row["velocity"].copy(),
            row["torque"].copy(),
            row["received_ns"].copy(),
        )
        if "base_ns" in (row.dtype.names or ()):  # of recordings made since bases report
            joints.base_velocity = row["base"].copy()
            joints.base_received_ns = int(row["base_ns"])
        health = self._health
        health.bus_missing = float(row["bus_missing"])
        health.faulty_joint = int(row["faulty_joint"])
        health.tilt_rad = float(row["tilt_rad"])
        health.stop_pressed = bool(row["stop_pressed"])
        if "imu_ns" in (row.dtype.names or ()):  # of recordings made since IMUs are heard
            health.turn_rad_s, health.imu_ns = float(row["turn_rad_s"]), int(row["imu_ns"])
        if self._readings.by_name:
            np.copyto(self._readings.heard_ns, row["sensors_ns"])
            np.copyto(self._readings.values, row["sensor_values"])
        setpoint = None
        if row["kind"] == Kind.TICK:
            setpoint = self._heads.setpoint(features, joints, at_ns, number)
        elif row["kind"] == Kind.PARK:
            setpoint = self._park(safety, at_ns)
        command = safety.filter(setpoint, joints, features, health, at_ns)
        made = {
            "rung": np.uint8(command.rung),
            "command_position": command.position,
            "command_velocity": command.velocity,
            "command_kp": command.kp,
            "command_kd": command.kd,
            "command_torque": command.torque,
            "command_base": command.base_velocity,
        }
        for name, value in (*_wanted(setpoint), *made.items()):
            if np.asarray(value).tobytes() != row[name].tobytes():
                self._differ(number, name, row[name], np.asarray(value))
                return

    def _park(self, safety: SafetyFilter, at_ns: int) -> Setpoint:
        if self._parking is None:
            self._parking = Parking(self._robot, safety.standing)
            safety.park()
        return self._parking.setpoint(safety.now.rung, at_ns)

    def _differ(
        self,
        tick: int,
        what: str,
        recorded: np.ndarray | None = None,
        replayed: np.ndarray | None = None,
    ) -> None:
        self._differing += 1
        if self._first is not None:
            return
        joint, before, after = "", "", ""
        if recorded is not None and replayed is not None:
            old, new = np.atleast_1d(recorded), np.atleast_1d(replayed)
            at = int(np.flatnonzero(_bits(old) != _bits(new))[0])
            names = self._robot.joint_names
            joint = names[at] if len(old) == len(names) else str(at)
            before, after = repr(old[at].item()), repr(new[at].item())
        self._first = Difference(tick, what, joint, before, after)

    def report(self) -> ReplayReport:
        return ReplayReport(
            recording=str(self._recorded.path),
            robot=self._robot.name,
            ticks=self._ticks,
            features=self._kept,
            processes=self._processes,
            differing=self._differing,
            first=self._first,
            cut_short=self._recorded.cut_short,
        )


def _wanted(setpoint: Setpoint | None) -> Iterator[tuple[str, np.ndarray | np.uint8]]:
    yield "has_setpoint", np.uint8(setpoint is not None)
    if setpoint is not None:
        yield "wanted", setpoint.position
        yield "wanted_base", setpoint.base_velocity


def _bits(values: np.ndarray) -> np.ndarray:
    """One integer a value: a NaN equals itself, and 0 is not -0."""
    return np.frombuffer(values.tobytes(), f"<u{values.dtype.itemsize}")
