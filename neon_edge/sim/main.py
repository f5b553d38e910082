"""The emulated motors' own process: `python -m neon_edge.sim.main ROBOT.toml RUNDIR`.

Writes RUNDIR/sim.json (its pid, and a channel for every simulated bus) when it is ready, and ends
on SIGTERM or when the thread that started it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

import msgspec

from neon_edge.clock import Clock, MonotonicClock
from neon_edge.config import CanBus, RobotConfig, load_robot
from neon_edge.config.imu import UdpImu
from neon_edge.errors import NeonEdgeError
from neon_edge.sim.base import BaseServer
from neon_edge.sim.body import Body
from neon_edge.sim.channels import Channel, PtyChannel, SocketChannel
from neon_edge.sim.faults import Faults, FaultyWire, MotorFaults, load_faults
from neon_edge.sim.imu import EmulatedImu
from neon_edge.sim.line import Line
from neon_edge.sim.state import BASE_CHANNEL, FAULTS_NAME, FILE_NAME, READY_NAME, SharedState

PUBLISH_NS = 5_000_000
"""Also the longest a watchdog's trip can go unseen."""
LONGEST_SOCKET_PATH = 100
"""Bytes; the kernel's sockaddr_un holds 107."""
LINE_BUSY_NS = 1_000_000
"""Bytes that will have passed within this are waited for before the host is heard again."""
SLICE_NS = 250_000
"""Bytes that pass within one slice are served together: a reply is never early, and this late."""
SCRATCH = "neon-sim-"
_PR_SET_PDEATHSIG = 1


class Simulator:
    """Every simulated bus of a robot, served by one loop."""

    def __init__(
        self, config: RobotConfig, rundir: Path, clock: Clock, faults: Faults | None = None
    ) -> None:
        self._clock = clock
        self._config = config
        self._body = Body(config, clock.now_ns())
        self._state = SharedState(rundir / FILE_NAME, len(config.joints), create=True)
        self._lines = {name: Line(motors) for name, motors in self._body.buses.items()}
        self.suffer(Faults() if faults is None else faults)
        self.channels: dict[str, Channel] = {
            bus.name: SocketChannel(socket_path(rundir, bus.name))
            if isinstance(bus, CanBus)
            else PtyChannel()
            for bus in config.buses
            if bus.name in self._lines
        }
        self._base: BaseServer | None = None
        if config.base is not None and config.base.channel == "sim":
            self._base = BaseServer(config, clock)
        self._imu: EmulatedImu | None = None
        if isinstance(config.imu, UdpImu) and config.imu.emulated:
            self._imu = EmulatedImu(config.imu.address, config.imu.port, clock)
        self._publish_ns = 0
        self._publish()

    def suffer(self, faults: Faults) -> None:
        """From now on these things go wrong, and no others."""
        now_ns, config = self._clock.now_ns(), self._config
        can = {bus.name for bus in config.buses if isinstance(bus, CanBus)}
        self._motor_faults = MotorFaults(faults, config, self._body.motors, now_ns)
        for name, line in self._lines.items():
            line.faults = None
            if faults.wire or faults.bus_off:
                line.faults = FaultyWire(name, faults, can=name in can, start_ns=now_ns)

    def turn(self) -> None:
        """Wait for bytes, for bytes to have passed, or for the next publication; then serve."""
        owners = self._listening()
        on_base = [] if self._base is None else [self._base.descriptor()]
        readable = select.select([*owners, *on_base], [], [], self._wait_s())[0]
        now_ns = self._clock.now_ns()
        if self._base is not None:
            self._base.serve(now_ns)
        for descriptor in set(readable) - set(on_base):
            self._take(owners[descriptor], descriptor, now_ns)
        for name, line in self._lines.items():
            if line.next_due_ns is None or line.next_due_ns > now_ns:
                continue
            for descriptor in self.channels[name].descriptors():
                self._take(name, descriptor, now_ns)
            for raw in line.run(now_ns):
                self.channels[name].send(raw)
        if now_ns >= self._publish_ns:
            self._publish_ns = now_ns + PUBLISH_NS
            self._motor_faults.strike(now_ns)
            self._body.advance(now_ns)
            if self._imu is not None:
                self._imu.tell()
            for name, line in self._lines.items():
                line.speak(now_ns)
                # A bus that goes off says so though nothing passes any more.
                for raw in line.run(now_ns):
                    self.channels[name].send(raw)
            self._publish()

    def _listening(self) -> dict[int, str]:
        # What is sent while a line is busy queues behind it, so it can be taken when the line is
        # served next: the times come out the same, and a burst wakes us once. An answer that is
        # long in coming leaves the line free.
        soon_ns = self._clock.now_ns() + LINE_BUSY_NS
        return {
            descriptor: name
            for name, channel in self.channels.items()
            if (self._lines[name].next_due_ns or soon_ns) >= soon_ns
            for descriptor in channel.descriptors()
        }

    def _take(self, name: str, descriptor: int, now_ns: int) -> None:
        for raw in self.channels[name].receive(descriptor):
            self._lines[name].put(raw, now_ns)

    def close(self) -> None:
        """Hang up every bus, the base and the IMU."""
        if self._imu is not None:
            self._imu.close()
        if self._base is not None:
            self._base.close()
        for channel in self.channels.values():
            channel.close()
            place = Path(channel.name.removeprefix("unix:")).parent
            if place.name.startswith(SCRATCH):
                place.rmdir()

    def _wait_s(self) -> float:
        now_ns = self._clock.now_ns()
        until_ns = self._publish_ns
        for line in self._lines.values():
            if line.next_due_ns is not None:
                until_ns = min(until_ns, line.next_due_ns + SLICE_NS)
        return max(0, until_ns - now_ns) / 1e9

    def _publish(self) -> None:
        self._state.received[:] = self._body.received()
        self._state.position[:] = self._body.positions()
        self._state.kp[:], self._state.kd[:] = self._body.gains()
        if self._base is not None:
            base = self._base.base
            self._state.base_counts[:] = base.taken, base.refused, base.state
            self._state.base_pose[:], self._state.base_velocity[:] = base.pose, base.velocity

    def announced(self) -> dict[str, str]:
        """Every channel by its bus's name, and the base's."""
        named = {name: channel.name for name, channel in self.channels.items()}
        return named if self._base is None else named | {BASE_CHANNEL: self._base.channel}


def socket_path(rundir: Path, bus: str) -> Path:
    """RUNDIR/can-BUS, or a short temporary name where the kernel could not hold that one."""
    path = rundir / f"can-{bus}"
    if len(str(path).encode()) <= LONGEST_SOCKET_PATH:
        return path
    return Path(tempfile.mkdtemp(prefix=SCRATCH)) / bus


def end_with_parent(parent: int) -> None:
    """Ask the kernel for SIGTERM when the thread that started us ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(0)


def run_ahead() -> None:
    """Real motors have processors of their own; ours ask to be served before the rest.

    Without the privilege they take turns with everyone, which costs reply time and nothing else.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(40))
        return
    with contextlib.suppress(OSError):
        os.nice(-10)


def read_robot(path: str) -> RobotConfig:
    """A robot file, or the JSON that `start_sim` writes for a robot that only exists in memory."""
    if path.endswith(".json"):
        return msgspec.json.decode(Path(path).read_bytes(), type=RobotConfig)
    return load_robot(path)


def announce(simulator: Simulator, rundir: Path) -> None:
    """Write RUNDIR/sim.json in one go, so that whoever waits for it reads all of it."""
    draft = rundir / f"{READY_NAME}.new"
    draft.write_text(
        json.dumps({"pid": os.getpid(), "channels": simulator.announced()}), encoding="utf-8"
    )
    draft.replace(rundir / READY_NAME)


def serve(robot: str, rundir: Path, parent: int) -> None:
    """Run until SIGTERM. Faults come from RUNDIR/faults.toml, where there is one."""
    end_with_parent(parent)
    signal.signal(signal.SIGTERM, _leave)
    config = read_robot(robot)
    path = rundir / FAULTS_NAME
    faults = load_faults(path, config) if path.exists() else None
    asked: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _: asked.append(number))
    simulator = Simulator(config, rundir, MonotonicClock(), faults)
    try:
        run_ahead()
        announce(simulator, rundir)
        while True:
            simulator.turn()
            if asked:
                asked.clear()
                _reread(simulator, path, config)
    finally:
        simulator.close()


def _reread(simulator: Simulator, path: Path, config: RobotConfig) -> None:
    # Without a file to read, SIGHUP is what it is everywhere else: the terminal has gone.
    if not path.exists():
        raise SystemExit(0)
    try:
        simulator.suffer(load_faults(path, config))
    except NeonEdgeError as failure:
        sys.stderr.write(f"{failure}\n")


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def main(arguments: list[str]) -> int:
    """`ROBOT.toml RUNDIR [PARENT_PID]`; gives the exit code."""
    if len(arguments) not in (2, 3):
        sys.stderr.write("usage: python -m neon_edge.sim.main ROBOT.toml RUNDIR\n")
        return 2
    rundir = Path(arguments[1])
    rundir.mkdir(parents=True, exist_ok=True)
    parent = os.getppid()
    if len(arguments) == 3:
        parent = int(arguments[2])
        # Ctrl-C reaches every process of the terminal; the robot's own needs us for a last stop.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGINT, _leave)
    try:
        serve(arguments[0], rundir, parent)
    except NeonEdgeError as failure:
        sys.stderr.write(f"{failure}\n")
        return failure.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
