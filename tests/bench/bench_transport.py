"""CPU time of one tick of 29 joints: our chains, python-can and dynamixel-sdk over equal motors.

`python -m tests.bench.bench_transport [TICKS] [--only NAME] [--json]`.

Damiao: encode, send, receive, decode of 29 motors on one channel, against python-can's own
SocketcanBus: a message a motor each way, packed field by field as published drivers do (LeRobot
src/lerobot/motors/damiao/damiao.py), with what ours does as well: signs, offsets, a check that
every value is finite and in range, states into float32 arrays. LeRobot itself asks for states with
messages of their own, so it sends and receives twice as many. `damiao fd` is the same on an FD bus;
`damiao mixed` with answers that overtake one another, as they do where motors take turns on a real
bus: neither has our shortest way through. Dynamixel: 29 servos, against group sync write and read.

Each side has motors of its own in another process and the two take turns, half a tick apart; what
counts is the host thread's CPU time. The bar: a third of theirs at the median.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import can
import dynamixel_sdk
import msgspec
import numpy as np
from can.interfaces.socketcan import constants, socketcan

from neon_edge.clock import MonotonicClock
from neon_edge.config import CanBus, RobotConfig
from neon_edge.sim import start_sim, with_channels
from neon_edge.transport import open_robot
from tests.bench.judged import arguments, judged
from tests.transport.drive import command
from tests.transport.families import robot_of

JOINTS = 29
PERIOD_NS = 20_000_000
CLOCK = MonotonicClock()
BAR = 3.0
MIXED = 'seed = 1\n[[wire]]\nway = "replies"\nreorder = 0.3\n'


def packed(q: float, dq: float, kp: float, kd: float, tau: float) -> bytes:
    """An MIT command the usual way: check, scale, shift, one joint at a time."""

    def steps(x: float, low: float, high: float, bits: int) -> int:
        if not low <= x <= high:
            raise ValueError(f"{x} does not fit {low} .. {high}")
        return int((x - low) / (high - low) * ((1 << bits) - 1))

    p, v = steps(q, -12.5, 12.5, 16), steps(dq, -30, 30, 12)
    k, d, t = steps(kp, 0, 500, 12), steps(kd, 0, 5, 12), steps(tau, -10, 10, 12)
    return bytes(
        (p >> 8, p & 255, v >> 4, (v & 15) << 4 | k >> 8, k & 255, d >> 4, (d & 15) << 4 | t >> 8)
    ) + bytes((t & 255,))


class Stamped:
    """A Unix socket that answers python-can as an AF_CAN one does: with a time stamp."""

    def __init__(self, channel: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.connect(channel.removeprefix("unix:"))
        self.fileno, self.send, self.close = (
            self._socket.fileno,
            self._socket.send,
            self._socket.close,
        )

    def recvmsg(self, size: int, ancillary: int) -> tuple[bytes, list[object], int, str]:
        return self._socket.recv(size), STAMP, 0, ""


STAMP: list[object] = [(socket.SOL_SOCKET, constants.SO_TIMESTAMPNS, bytes(16))]


class PythonCan:
    """python-can's SocketcanBus, its own send and recv, over the emulated motors' socket."""

    def __init__(self, channel: str, *, fd: bool = False) -> None:
        self._fd = fd
        self._bus: Any = object.__new__(socketcan.SocketcanBus)
        self._bus.socket, self._bus.channel = Stamped(channel), "can0"
        self._bus._filters, self._bus._is_filtered = None, True
        self._bus._is_shutdown = True
        self.heard = 0
        self._mounted = [(1.0, 0.0)] * JOINTS
        self._position, self._velocity, self._torque = np.zeros((3, JOINTS), np.float32)
        self._received_ns = np.zeros(JOINTS, np.int64)

    def tick(self, goals: np.ndarray) -> None:
        while (message := self._bus.recv(timeout=0)) is not None:
            self._decode(message)
        for k, (q, (sign, offset)) in enumerate(zip(goals.tolist(), self._mounted, strict=True)):
            payload = packed(sign * q + offset, 0.0, 40.0, 1.0, 0.0)
            message = can.Message(
                arbitration_id=k + 1,
                data=payload,
                is_extended_id=False,
                is_fd=self._fd,
                bitrate_switch=self._fd,
            )
            self._bus.send(message)

    def _decode(self, message: can.Message) -> None:
        d, place = message.data, message.arbitration_id - 0x11
        if not 0 <= place < JOINTS or message.is_error_frame or len(d) != 8:
            return
        p, v, t = d[1] << 8 | d[2], d[3] << 4 | d[4] >> 4, (d[4] & 15) << 8 | d[5]
        sign, offset = self._mounted[place]
        self._position[place] = sign * (p / 65535 * 25 - 12.5 - offset)
        self._velocity[place] = sign * (v / 4095 * 60 - 30)
        self._torque[place] = sign * (t / 4095 * 20 - 10)
        self._received_ns[place] = CLOCK.now_ns()
        self.heard += 1


class GroupCalls:
    """dynamixel-sdk's group calls, which wait for the answers."""

    def __init__(self, channel: str) -> None:
        self._port = dynamixel_sdk.PortHandler(channel)
        self._port.openPort()
        self._port.setBaudRate(1_000_000)
        self._sdk = dynamixel_sdk.PacketHandler(2.0)
        self._reader = dynamixel_sdk.GroupSyncRead(self._port, self._sdk, 126, 10)
        self._writer = dynamixel_sdk.GroupSyncWrite(self._port, self._sdk, 116, 4)
        self.heard = 0
        for k in range(JOINTS):
            self._reader.addParam(k + 1)

    def tick(self, goals: np.ndarray) -> None:
        self._writer.clearParam()
        for k, q in enumerate(goals.tolist()):
            count = round(q * 4096 / 6.283185307179586 + 2048)
            self._writer.addParam(k + 1, count.to_bytes(4, "little"))
        self._writer.txPacket()
        self._reader.txRxPacket()
        for k in range(JOINTS):
            self._reader.getData(k + 1, 126, 2)
            self._reader.getData(k + 1, 128, 4)
            self.heard += self._reader.getData(k + 1, 132, 4) >= 0


def measured(work: Callable[[], object], into: list[int]) -> None:
    """Thread CPU time of one call."""
    before = time.thread_time_ns()
    work()
    into.append(time.thread_time_ns() - before)


class Case(NamedTuple):
    """A family as both sides meet it."""

    family: str
    other: Callable[[str], PythonCan | GroupCalls]
    fd: bool = False
    faults: str = ""


CASES = {
    "damiao": Case("damiao", PythonCan),
    "damiao fd": Case("damiao", lambda channel: PythonCan(channel, fd=True), fd=True),
    "damiao mixed": Case("damiao", PythonCan, faults=MIXED),
    "dynamixel": Case("dynamixel", GroupCalls),
}


class Row(NamedTuple):
    """CPU µs a tick, ours and theirs, and answers a joint and tick."""

    median: tuple[float, float]
    tenth: tuple[float, float]
    answered: tuple[float, float]

    @property
    def ratio(self) -> float:
        """How many times theirs is ours, at the median."""
        return self.median[1] / self.median[0]


def alike(case: Case) -> RobotConfig:
    """29 equal joints on one bus; no watchdog while the other one talks."""
    robot = robot_of(case.family, JOINTS, watchdog_ms=0)
    plain = [msgspec.structs.replace(j, sign=1, offset=0.0) for j in robot.joints]
    buses = [
        msgspec.structs.replace(bus, fd=case.fd) if isinstance(bus, CanBus) else bus
        for bus in robot.buses
    ]
    return msgspec.structs.replace(robot, joints=plain, buses=buses)


def compare(case: Case, ticks: int) -> Row:
    """Our CPU time a tick, theirs, and how often they were answered."""
    robot = alike(case)
    ours: list[int] = []
    theirs: list[int] = []
    with ExitStack() as opened:
        places = [opened.enter_context(tempfile.TemporaryDirectory()) for _ in range(2)]
        sims = [
            opened.enter_context(start_sim(robot, Path(place), case.faults)) for place in places
        ]
        mine = opened.enter_context(open_robot(with_channels(robot, sims[0].channels), CLOCK))
        mine.enable()
        peer = case.other(sims[1].channels["line"])
        due_ns = CLOCK.now_ns()
        for k in range(ticks):
            goals = np.full(JOINTS, 0.1 * np.sin(0.06 * k))
            goal = command(robot, goals.astype(np.float32))
            measured(lambda goal=goal: (mine.read(), mine.write(goal)), ours)  # type: ignore[misc]
            due_ns += PERIOD_NS // 2
            CLOCK.sleep_until_ns(due_ns)
            measured(lambda goals=goals: peer.tick(goals), theirs)  # type: ignore[misc]
            due_ns += PERIOD_NS // 2
            CLOCK.sleep_until_ns(due_ns)
        answered = int(mine.counters.received.sum())

    def at(share: float) -> tuple[float, float]:
        mine_ns, their_ns = (float(np.percentile(side, share)) for side in (ours, theirs))
        return mine_ns / 1e3, their_ns / 1e3

    each = ticks * JOINTS
    return Row(at(50), at(10), (answered / each, peer.heard / each))


def told(name: str, row: Row) -> str:
    """A line of the table."""
    (ours, theirs), (least, their_least) = row.median, row.tenth
    return (
        f"{name:<13}{ours:>7.0f}{theirs:>8.0f}{row.ratio:>7.1f}"
        f"{least:>9.0f}{their_least:>8.0f}{their_least / least:>7.1f}"
        f"{row.answered[0]:>10.2f}{row.answered[1]:>8.2f}"
    )


def main() -> int:
    """Every comparison; 1 where one misses the bar."""
    parser = arguments(__doc__)
    parser.add_argument("ticks", nargs="?", type=int, default=300)
    parser.add_argument("--only", choices=CASES, help="one row")
    options = parser.parse_args()
    names = [options.only] if options.only else list(CASES)
    rows = {name: compare(CASES[name], options.ticks) for name in names}
    table = [
        f"CPU µs a tick, {options.ticks} ticks in turns, {JOINTS} joints; answers a joint and tick",
        f"{'':<13}{'median':>22}{'10th percentile':>24}{'answered':>18}",
        f"{'':<13}{'ours':>7}{'theirs':>8}{'ratio':>7}{'ours':>9}{'theirs':>8}{'ratio':>7}"
        f"{'ours':>10}{'theirs':>8}",
        *(told(name, row) for name, row in rows.items()),
    ]
    missed = [
        f"{name}: {row.ratio:.1f} times, the bar is {BAR:g}"
        for name, row in rows.items()
        if not row.ratio >= BAR
    ]
    figures = {name: {**row._asdict(), "ratio": row.ratio} for name, row in rows.items()}
    return judged({"ticks": options.ticks, "rows": figures}, table, missed, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
