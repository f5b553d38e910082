"""Feetech's own SDK (ftservo-python-sdk) talks to our servos, and its packets equal ours."""

from __future__ import annotations

import math
import random

import scservo_sdk
from scservo_sdk.group_sync_read import GroupSyncRead
from scservo_sdk.group_sync_write import GroupSyncWrite

from neon_edge.sim.feetech import EmulatedFeetech
from neon_edge.transport.protocol import feetech
from tests.transport.families import robot_of
from tests.transport.inline import InlineRig


class Port:
    """What the SDK takes for a serial port."""

    def __init__(self, rig: InlineRig) -> None:
        self._rig = rig
        self._answers = bytearray()
        self.written: list[bytes] = []
        self.is_using = False

    def clearPort(self) -> None:  # noqa: N802
        self._answers.clear()

    def writePort(self, packet: list[int]) -> int:  # noqa: N802
        self.written.append(bytes(packet))
        for reply in self._rig.bus.motors.hear(bytes(packet), self._rig.clock.now_ns()):
            self._answers += reply.raw
        return len(packet)

    def readPort(self, length: int) -> bytes:  # noqa: N802
        taken = bytes(self._answers[:length])
        del self._answers[: len(taken)]
        return taken

    def setPacketTimeout(self, length: int) -> None:  # noqa: N802
        pass

    def setPacketTimeoutMillis(self, milliseconds: float) -> None:  # noqa: N802
        pass

    def isPacketTimeout(self) -> bool:  # noqa: N802
        return not self._answers


def compare(count: int, seed: int) -> int:
    """At least `count` packets, both series. Gives how many; an assertion fails on a difference."""
    return sum(_series(series, count // 2, seed) for series in ("feetech", "feetech_scs"))


def _series(family: str, count: int, seed: int) -> int:
    draw = random.Random(seed)
    rig = InlineRig(robot_of(family), (0.3, -0.6, 1.1))
    port = Port(rig)
    little = family == "feetech"
    sdk = (scservo_sdk.sms_sts if little else scservo_sdk.scscl)(port)
    motors = [m for m in rig.body.motors if isinstance(m, EmulatedFeetech)]
    compared = 0
    while compared < count:
        servo = draw.randrange(3) + 1
        motor, turn = motors[servo - 1], 4096 if little else 1024
        number, result, error = sdk.ping(servo)
        assert (number, result, error) == (777 if little else 1284, 0, 0)
        # The SDK's ping reads the model as well.
        assert port.written[-2] == feetech.ping(servo)
        assert port.written[-1] == feetech.read(servo, 3, 2)

        position, result, error = sdk.ReadPos(servo)
        assert (result, error) == (0, 0)
        assert port.written[-1] == feetech.read(servo, 56, 2)
        assert position == round(motor.position * turn / math.tau + turn / 2)

        goal = draw.randrange(turn)
        sdk.write2ByteTxRx(servo, 42, goal)
        word = feetech.pack_word(goal, "little" if little else "big")
        assert port.written[-1] == feetech.write(servo, 42, word)
        assert sdk.read2ByteTxRx(servo, 42) == (goal, 0, 0)

        writer = GroupSyncWrite(sdk, 42, 2)
        goals = {i: draw.randrange(turn) for i in draw.sample((1, 2, 3), 2)}
        for i, each in goals.items():
            writer.addParam(i, list(each.to_bytes(2, "little" if little else "big")))
        writer.txPacket()
        order = "little" if little else "big"
        ours = [(i, feetech.pack_word(each, order)) for i, each in goals.items()]
        assert port.written[-1] == feetech.sync_write(42, 2, ours)
        for i, each in goals.items():
            assert sdk.read2ByteTxRx(i, 42)[0] == each
        compared += 8
        if little:
            compared += _sync_read(sdk, port, motors)
        assert _signs(sdk, draw)
        sdk.write1ByteTxRx(servo, 40, 1)
        rig.clock.advance_ns(draw.randrange(20_000_000))
    return compared


def _sync_read(sdk: object, port: Port, motors: list[EmulatedFeetech]) -> int:
    reader = GroupSyncRead(sdk, 56, 6)
    for servo in (1, 2, 3):
        reader.addParam(servo)
    assert reader.txRxPacket() == 0
    assert port.written[-1] == feetech.sync_read(56, 6, (1, 2, 3))
    for servo, motor in zip((1, 2, 3), motors, strict=True):
        position, speed, load = feetech.decode_present(motor.read(56, 6))
        heard = [reader.getData(servo, 56 + k, 2) for k in (0, 2, 4)]
        assert [sdk.scs_tohost(w, b) for w, b in zip(heard, (15, 15, 10), strict=True)] == [  # type: ignore[attr-defined]
            position,
            speed,
            load,
        ]
    return 4


def _signs(sdk: object, draw: random.Random) -> bool:
    number, bit = draw.randrange(-1023, 1024), draw.choice((10, 11, 15))
    word = feetech.unsigned(number, bit)
    return bool(
        sdk.scs_toscs(number, bit) == word  # type: ignore[attr-defined]
        and sdk.scs_tohost(word, bit) == feetech.signed(word, bit) == number  # type: ignore[attr-defined]
    )
