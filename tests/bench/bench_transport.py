"""CPU time of one tick of 29 joints: our chains, python-can and dynamixel-sdk over equal motors.

`python -m tests.bench.bench_transport [TICKS]`. Damiao: encode, send, receive, decode of 29 motors
on one channel, against python-can's own SocketcanBus: a message a motor each way, packed field by
field as published drivers do (LeRobot src/lerobot/motors/damiao/damiao.py), with what ours does as
well: signs, offsets, a check that every value is finite and in range, states into float32 arrays.
LeRobot itself asks for states with messages of their own, so it sends and receives twice as many.
"damiao fd": the same on CAN FD.
Dynamixel: 29 servos, against group sync write and read. Each side has motors of its own in another
process and the two take turns, half a tick apart; what counts is the host thread's CPU time.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import can
import dynamixel_sdk
import msgspec
import numpy as np
from can.interfaces.socketcan import constants, socketcan

from neon_edge.clock import MonotonicClock
from neon_edge.config import CanBus, RobotConfig
from neon_edge.sim import start_sim, with_channels
from neon_edge.transport import open_robot
from tests.transport.drive import command
from tests.transport.families import robot_of

JOINTS = 29
PERIOD_NS = 20_000_000
CLOCK = MonotonicClock()


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
            self._bus.send(
                can.Message(
                    arbitration_id=k + 1,
                    data=payload,
                    is_extended_id=False,
                    is_fd=self._fd,
                    bitrate_switch=self._fd,
                )
            )

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


def alike(family: str, *, fd: bool = False) -> RobotConfig:
    """29 equal joints on one bus; no watchdog while the other one talks."""
    robot = robot_of(family, JOINTS, watchdog_ms=0)
    plain = [msgspec.structs.replace(j, sign=1, offset=0.0) for j in robot.joints]
    buses = [CanBus("line", "sim", fd=True)] if fd else robot.buses
    return msgspec.structs.replace(robot, buses=buses, joints=plain)


def compare(
    family: str, other: Callable[[str], PythonCan | GroupCalls], ticks: int, *, fd: bool = False
) -> None:
    """One row: our CPU time a tick, theirs, and how often they were answered."""
    robot = alike(family, fd=fd)
    ours: list[int] = []
    theirs: list[int] = []
    with ExitStack() as opened:
        places = [opened.enter_context(tempfile.TemporaryDirectory()) for _ in range(2)]
        sims = [opened.enter_context(start_sim(robot, Path(place))) for place in places]
        mine = opened.enter_context(open_robot(with_channels(robot, sims[0].channels), CLOCK))
        mine.enable()
        peer = other(sims[1].channels["line"])
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
    middle = [float(np.median(side)) / 1e3 for side in (ours, theirs)]
    least = [float(np.percentile(side, 10)) / 1e3 for side in (ours, theirs)]
    print(
        f"{family + ' fd' * fd:<11}{middle[0]:>7.0f}{middle[1]:>8.0f}{middle[1] / middle[0]:>7.1f}"
        f"{least[0]:>9.0f}{least[1]:>8.0f}{least[1] / least[0]:>7.1f}"
        f"{answered / ticks / JOINTS:>10.2f}{peer.heard / ticks / JOINTS:>8.2f}"
    )


def main(ticks: int = 300) -> None:
    """All comparisons."""
    print(f"CPU µs a tick, {ticks} ticks in turns, {JOINTS} joints; answers a joint and tick")
    print(f"{'':<11}{'median':>22}{'10th percentile':>24}{'answered':>18}")
    print(
        f"{'family':<11}{'ours':>7}{'theirs':>8}{'ratio':>7}{'ours':>9}{'theirs':>8}{'ratio':>7}"
        f"{'ours':>10}{'theirs':>8}"
    )
    compare("damiao", PythonCan, ticks)
    compare("damiao", lambda channel: PythonCan(channel, fd=True), ticks, fd=True)
    compare("dynamixel", GroupCalls, ticks)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
