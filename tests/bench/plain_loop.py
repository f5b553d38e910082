"""The loop that robots are commonly run with: read every motor, ask the policy, write, sleep.

Calls and timeouts as in LeRobot (`src/lerobot/motors/damiao/damiao.py`: one python-can message a
motor, 100 or 200 µs polls; `src/lerobot/motors/dynamixel`: dynamixel_sdk's group sync read and
write; `precise_sleep` of what is left of the period). Only the CAN socket differs: python-can's own
SocketCAN class over the emulated motors' Unix socket, which carries the same structs.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from typing import Any

import can
import dynamixel_sdk as dxl
import numpy as np
from can.interfaces.socketcan.socketcan import SocketcanBus, dissect_can_frame

from neon_edge.config import RobotConfig
from neon_edge.config.robot import CanBus, Joint
from neon_edge.transport.protocol import damiao
from neon_edge.types import Float32

TORQUE_ENABLE, GOAL_POSITION, PRESENT_POSITION = 64, 116, 132
COUNTS_PER_RADIAN = 4096 / (2 * np.pi)
REPLY_S, POLL_S = 0.001, 0.0001
BATCH_S, BATCH_POLL_S = 0.002, 0.0002


class UnixBus(SocketcanBus):
    """python-can's SocketCAN bus on a Unix socket: its `send` and `recv` as they are."""

    def __init__(self, channel: str) -> None:
        can.BusABC.__init__(self, channel=channel)
        self.channel = channel
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(channel.removeprefix("unix:"))
        self._task_id = 0

    def _apply_filters(self, filters: Any) -> None:
        pass

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        if not select.select([self.socket], [], [], timeout)[0]:
            return None, False
        identifier, length, _, payload = dissect_can_frame(self.socket.recv(72))
        message = can.Message(
            timestamp=time.time(),
            arbitration_id=identifier & 0x7FF,
            is_extended_id=False,
            dlc=length,
            data=payload,
            channel=self.channel,
        )
        return message, False

    def shutdown(self) -> None:
        can.BusABC.shutdown(self)
        self.socket.close()


class DamiaoBus:
    """One CAN bus of motors; `batch` sends to all before it waits for any."""

    def __init__(self, channel: str, joints: list[Joint], batch: bool) -> None:
        self.joints = joints
        self.batch = batch
        self._bus = UnixBus(channel)
        self._ranges = [
            damiao.Ranges(j.motor.position_max, j.motor.velocity_max, j.motor.torque_max)
            for j in joints
        ]
        for joint in joints:
            self._ask(joint, joint.motor.id, damiao.ENABLE)

    def read(self) -> list[float]:
        """Refresh every motor and wait for its state."""
        payloads = [damiao.refresh(joint.motor.id) for joint in self.joints]
        replies = self._exchange([damiao.REGISTER_ID] * len(payloads), payloads)
        return [
            damiao.decode_feedback(ranges, reply).position
            for ranges, reply in zip(self._ranges, replies, strict=True)
        ]

    def write(self, positions: list[float]) -> None:
        """A MIT command to every motor, and its reply."""
        payloads = [
            damiao.encode_command(ranges, damiao.Command(float(at), 0.0, j.kp, j.kd, 0.0))
            for ranges, j, at in zip(self._ranges, self.joints, positions, strict=True)
        ]
        self._exchange([joint.motor.id for joint in self.joints], payloads)

    def _exchange(self, identifiers: list[int], payloads: list[bytes]) -> list[bytes]:
        asked = zip(self.joints, identifiers, payloads, strict=True)
        if not self.batch:
            return [self._ask(joint, identifier, payload) for joint, identifier, payload in asked]
        for _, identifier, payload in asked:
            self._send(identifier, payload)
        return self._all()

    def _ask(self, joint: Joint, identifier: int, payload: bytes) -> bytes:
        self._send(identifier, payload)
        began = time.time()
        while time.time() - began < REPLY_S:
            message = self._bus.recv(timeout=POLL_S)
            if message and message.arbitration_id == joint.motor.feedback_id:
                return bytes(message.data)
        return bytes(8)

    def _all(self) -> list[bytes]:
        found: dict[int, bytes] = {}
        began = time.time()
        while len(found) < len(self.joints) and time.time() - began < BATCH_S:
            message = self._bus.recv(timeout=BATCH_POLL_S)
            if message:
                found[message.arbitration_id] = bytes(message.data)
        return [found.get(joint.motor.feedback_id, bytes(8)) for joint in self.joints]

    def _send(self, identifier: int, payload: bytes) -> None:
        self._bus.send(can.Message(arbitration_id=identifier, data=payload, is_extended_id=False))

    def close(self) -> None:
        """Torque off, and the socket closed."""
        for joint in self.joints:
            self._ask(joint, joint.motor.id, damiao.DISABLE)
        self._bus.shutdown()


class DynamixelBus:
    """One serial line of servos through dynamixel_sdk."""

    def __init__(self, channel: str, joints: list[Joint]) -> None:
        self.joints = joints
        self._port = dxl.PortHandler(channel)
        self._port.openPort()
        self._port.setBaudRate(1_000_000)
        self._packets = dxl.PacketHandler(2.0)
        self._reader = dxl.GroupSyncRead(self._port, self._packets, PRESENT_POSITION, 4)
        self._writer = dxl.GroupSyncWrite(self._port, self._packets, GOAL_POSITION, 4)
        for joint in joints:
            self._reader.addParam(joint.motor.id)
            self._packets.write1ByteTxRx(self._port, joint.motor.id, TORQUE_ENABLE, 1)

    def read(self) -> list[float]:
        """One group read."""
        self._reader.txRxPacket()
        counts = [self._reader.getData(j.motor.id, PRESENT_POSITION, 4) for j in self.joints]
        return [(count - 2048) / COUNTS_PER_RADIAN for count in counts]

    def write(self, positions: list[float]) -> None:
        """One group write."""
        for joint, at in zip(self.joints, positions, strict=True):
            count = round(float(at) * COUNTS_PER_RADIAN) + 2048
            self._writer.addParam(joint.motor.id, list(count.to_bytes(4, "little", signed=True)))
        self._writer.txPacket()
        self._writer.clearParam()

    def close(self) -> None:
        """Torque off, and the port closed."""
        for joint in self.joints:
            self._packets.write1ByteTxRx(self._port, joint.motor.id, TORQUE_ENABLE, 0)
        self._port.closePort()


Observe = Callable[[dict[str, int]], None]


class PlainRobot:
    """All joints of a robot file whose channels are known, in its order."""

    def __init__(self, robot: RobotConfig, batch: bool) -> None:
        self._joints = robot.joints
        self._buses: list[DamiaoBus | DynamixelBus] = []
        for bus in robot.buses:
            joints = [joint for joint in robot.joints if joint.bus == bus.name]
            if isinstance(bus, CanBus):
                self._buses.append(DamiaoBus(bus.channel, joints, batch))
            else:
                self._buses.append(DynamixelBus(bus.channel, joints))
        self._places = {joint.name: place for place, joint in enumerate(robot.joints)}

    def read(self) -> Float32:
        """Positions of all joints, rad."""
        found = np.zeros(len(self._joints), np.float32)
        for bus in self._buses:
            for joint, position in zip(bus.joints, bus.read(), strict=True):
                found[self._places[joint.name]] = joint.sign * position - joint.offset
        return found

    def write(self, positions: Float32) -> None:
        """Goal positions of all joints, rad."""
        for bus in self._buses:
            bus.write([j.sign * (positions[self._places[j.name]] + j.offset) for j in bus.joints])

    def close(self) -> None:
        """Torque off everywhere."""
        for bus in self._buses:
            bus.close()
