"""Starts the emulated motors in a process of their own and watches them from here."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np

from neon_edge.clock import MonotonicClock
from neon_edge.config import RobotConfig
from neon_edge.errors import DeviceMissing
from neon_edge.sim.state import BASE_CHANNEL, FAULTS_NAME, FILE_NAME, READY_NAME, SharedState
from neon_edge.types import Float64, Int64

START_NS = 20_000_000_000
POLL_NS = 5_000_000
SETTLE_NS = 500_000_000
STOP_S = 5.0


class Simulation:
    """Emulated motors that are running. Also a context manager: leaving it stops them."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        channels: dict[str, str],
        state: SharedState,
        rundir: Path,
    ) -> None:
        self._child = child
        self._rundir = rundir
        self._state = state
        self.channels = channels
        """Bus name to what its `channel` must be; the base's is called `BASE_CHANNEL`."""

    @property
    def pid(self) -> int:
        """The process that the motors live in."""
        return self._child.pid

    def received(self) -> Int64:
        """Joint commands that each motor has been given, (joints,)."""
        return np.array(self._state.received)

    def settled(self, sent: int) -> int:
        """Commands that all motors counted, once the last of `sent` had time to arrive."""
        clock = MonotonicClock()
        give_up_ns = clock.now_ns() + SETTLE_NS
        while int(self.received().sum()) < sent and clock.now_ns() < give_up_ns:
            clock.sleep_until_ns(clock.now_ns() + POLL_NS)
        return int(self.received().sum())

    def positions(self) -> Float64:
        """Joint positions (joints,) in rad: the truth, not what the bus says."""
        return np.array(self._state.position)

    def base_taken(self, sent: int) -> int:
        """Velocities that the base followed, once the last of `sent` had time to arrive."""
        clock = MonotonicClock()
        give_up_ns = clock.now_ns() + SETTLE_NS
        while int(self._state.base_counts[0]) < sent and clock.now_ns() < give_up_ns:
            clock.sleep_until_ns(clock.now_ns() + POLL_NS)
        return int(self._state.base_counts[0])

    def base_pose(self) -> Float64:
        """x m, y m, heading rad: where the base has gone."""
        return np.array(self._state.base_pose)

    def base_velocity(self) -> Float64:
        """Forward m/s, sideways m/s, turn rad/s: the truth."""
        return np.array(self._state.base_velocity)

    def drives(self) -> list[str]:
        """What each motor's torque is for, by joint: "holds", "damps" or "limp"."""
        stiff, damped = self._state.kp > 0, self._state.kd > 0
        return [
            "holds" if holds else "damps" if damps else "limp"
            for holds, damps in zip(stiff.tolist(), damped.tolist(), strict=True)
        ]

    def inject(self, faults: str) -> None:
        """Let what this TOML says go wrong instead of what went wrong so far, from now on."""
        path = self._rundir / FAULTS_NAME
        partial = path.with_name(path.name + ".part")
        partial.write_text(faults, encoding="utf-8")
        partial.replace(path)
        os.kill(self._child.pid, signal.SIGHUP)

    def stop(self) -> None:
        """End the motors' process. Stopping twice is harmless."""
        if self._child.poll() is None:
            self._child.terminate()
        try:
            self._child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def unplug(self) -> None:
        """Kill the motors at once, as a pulled plug would."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def __enter__(self) -> Simulation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start_sim(config: RobotConfig, rundir: Path, faults: str = "") -> Simulation:
    """Emulate every bus of `config` whose channel is "sim"; give them when they answer.

    `faults` is the text of a TOML as `neon_edge.sim.faults` describes it.

    Call it from a thread that outlives the simulation: the kernel ends the motors with the thread
    that started them. Raises `DeviceMissing` when they do not come up.
    """
    rundir.mkdir(parents=True, exist_ok=True)
    ready = rundir / READY_NAME
    ready.unlink(missing_ok=True)
    (rundir / FAULTS_NAME).unlink(missing_ok=True)
    if faults:
        (rundir / FAULTS_NAME).write_text(faults, encoding="utf-8")
    robot = rundir / "robot.json"
    robot.write_bytes(msgspec.json.encode(config))
    log = rundir / "sim.log"
    with log.open("wb") as written:
        child = subprocess.Popen(
            [sys.executable, "-m", "neon_edge.sim.main", str(robot), str(rundir), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=written,
        )
    clock = MonotonicClock()
    deadline_ns = clock.now_ns() + START_NS
    while not ready.exists():
        if child.poll() is not None or clock.now_ns() > deadline_ns:
            child.kill()
            child.wait()
            raise DeviceMissing(
                "the emulated motors did not start",
                log.read_text(encoding="utf-8", errors="replace").strip() or f"log {log} is empty",
                "mend the robot file if it says so; otherwise this is our bug",
            )
        clock.sleep_until_ns(clock.now_ns() + POLL_NS)
    announced = json.loads(ready.read_text(encoding="utf-8"))
    state = SharedState(rundir / FILE_NAME, len(config.joints), create=False)
    return Simulation(child, announced["channels"], state, rundir)


def simulated(config: RobotConfig) -> RobotConfig:
    """The same robot with every bus emulated, and its base."""
    names = [*(bus.name for bus in config.buses), BASE_CHANNEL]
    everywhere = with_channels(config, dict.fromkeys(names, "sim"))
    return msgspec.structs.replace(everywhere, simulated=True)


def with_channels(config: RobotConfig, channels: dict[str, str]) -> RobotConfig:
    """The same robot with buses and base on other channels; what is not named keeps its own."""
    buses = [
        msgspec.structs.replace(bus, channel=channels.get(bus.name, bus.channel))
        for bus in config.buses
    ]
    base = config.base
    if base is not None:
        channel = channels.get(BASE_CHANNEL, base.channel)
        base = msgspec.structs.replace(base, channel=channel)
    return msgspec.structs.replace(config, buses=buses, base=base)
