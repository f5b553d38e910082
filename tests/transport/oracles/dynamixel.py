"""ROBOTIS' `dynamixel-sdk` makes the same packets and reads our servos to the same counts."""

from __future__ import annotations

import random

import dynamixel_sdk

from neon_edge.sim.dynamixel import EmulatedDynamixel
from neon_edge.transport.protocol import dynamixel
from neon_edge.transport.protocol import dynamixel_table as table
from tests.transport.families import robot_of
from tests.transport.inline import InlineRig
from tests.transport.oracles.feetech import Port


def compare(count: int, seed: int) -> int:
    """At least `count` packets. Gives how many; an assertion fails on a difference."""
    draw = random.Random(seed)
    rig = InlineRig(robot_of("dynamixel"), (0.3, -0.6, 1.1))
    port = Port(rig)
    sdk = dynamixel_sdk.PacketHandler(2.0)
    servos = [m for m in rig.body.motors if isinstance(m, EmulatedDynamixel)]
    compared = 0
    while compared < count:
        i = draw.randrange(3) + 1
        assert sdk.ping(port, i) == (1020, 0, 0)
        assert port.written[-1] == dynamixel.ping(i)
        goal = draw.randrange(4096)
        assert sdk.write4ByteTxRx(port, i, table.GOAL_POSITION, goal) == (0, 0)
        wanted = dynamixel.write(i, table.GOAL_POSITION, goal.to_bytes(4, "little"))
        assert port.written[-1] == wanted
        assert sdk.read4ByteTxRx(port, i, table.GOAL_POSITION) == (goal, 0, 0)
        assert port.written[-1] == dynamixel.read(i, table.GOAL_POSITION, 4)

        writer = dynamixel_sdk.GroupSyncWrite(port, sdk, table.GOAL_POSITION, 4)
        goals = [(k, draw.randrange(4096).to_bytes(4, "little")) for k in (1, 2, 3)]
        for k, each in goals:
            assert writer.addParam(k, each)
        assert writer.txPacket() == 0
        assert port.written[-1] == dynamixel.sync_write(table.GOAL_POSITION, 4, goals)
        compared += 7 + _sync_read(sdk, port, servos)
        sdk.write1ByteTxRx(port, i, table.TORQUE_ENABLE, 1)
        rig.clock.advance_ns(draw.randrange(20_000_000))
    return compared


def _sync_read(
    sdk: dynamixel_sdk.PacketHandler, port: Port, servos: list[EmulatedDynamixel]
) -> int:
    reader = dynamixel_sdk.GroupSyncRead(port, sdk, table.PRESENT, table.PRESENT_BYTES)
    for k in (1, 2, 3):
        reader.addParam(k)
    assert reader.txRxPacket() == 0
    asked = dynamixel.sync_read(table.PRESENT, table.PRESENT_BYTES, (1, 2, 3))
    assert port.written[-1] == asked
    for k, servo in zip((1, 2, 3), servos, strict=True):
        current, velocity, count = table.decode_present(
            servo.read(table.PRESENT, table.PRESENT_BYTES)[1]
        )
        heard = (
            reader.getData(k, 126, 2) - (reader.getData(k, 126, 2) >> 15 << 16),
            reader.getData(k, 128, 4) - (reader.getData(k, 128, 4) >> 31 << 32),
            reader.getData(k, 132, 4) - (reader.getData(k, 132, 4) >> 31 << 32),
        )
        assert heard == (current, velocity, count)
    return 4
