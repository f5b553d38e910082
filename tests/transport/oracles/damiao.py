"""`damiao-motor` makes the same command bytes and reads our feedback to the same values."""

from __future__ import annotations

import random

from damiao_motor.core.motor import DaMiaoMotor

from neon_edge.sim.damiao import EmulatedDamiao
from neon_edge.transport.protocol import damiao
from neon_edge.transport.protocol.damiao import Command, Ranges
from neon_edge.types import BusFrame
from tests.transport.families import robot_of
from tests.transport.inline import InlineRig

RANGES = Ranges(12.5, 30.0, 10.0)


def compare(count: int, seed: int) -> int:
    """At least `count` frames. Gives how many; an assertion fails on a difference."""
    draw = random.Random(seed)
    rig = InlineRig(robot_of("damiao"))
    theirs = [DaMiaoMotor(i, 0x10 + i, None, motor_type="4310") for i in (1, 2, 3)]
    rig.bus.send([BusFrame(i, DaMiaoMotor.encode_enable_msg()) for i in (1, 2, 3)])
    rig.bus.receive_ready()
    compared = 3
    while compared < count:
        i = draw.randrange(3) + 1
        motor = rig.body.motors[i - 1]
        assert isinstance(motor, EmulatedDamiao)
        values = [draw.uniform(-s, s) for s in (12.5, 30.0)]
        kp, kd, torque = draw.uniform(0, 500), draw.uniform(0, 5), draw.uniform(-10, 10)
        other = theirs[i - 1].encode_cmd_msg(values[0], values[1], torque, kp, kd)
        ours = damiao.encode_command(RANGES, Command(values[0], values[1], kp, kd, torque))
        _same_bits(ours, other)
        rig.bus.send([BusFrame(i, other)])
        (answer,) = rig.bus.receive_ready()
        heard = theirs[i - 1].decode_sensor_feedback(answer.payload, answer.arbitration_id)
        mine = damiao.decode_feedback(RANGES, answer.payload)
        assert heard["status_code"] == mine.condition == motor.condition
        for key, value, span in (
            ("pos", mine.position, 12.5),
            ("vel", mine.velocity, 30.0),
            ("torq", mine.torque, 10.0),
        ):
            assert abs(heard[key] - value) < 1e-9 * span
        assert heard["t_rotor"] == mine.rotor_celsius
        compared += 2
        rig.clock.advance_ns(draw.randrange(5_000_000))
    return compared


def _same_bits(ours: bytes, other: bytes) -> None:
    # Multiplying before or after dividing can move a truncated last bit by one.
    shifts = ((48, 16), (36, 12), (24, 12), (12, 12), (0, 12))
    mine, theirs = int.from_bytes(ours, "big"), int.from_bytes(other, "big")
    for shift, bits in shifts:
        mask = (1 << bits) - 1
        assert abs((mine >> shift & mask) - (theirs >> shift & mask)) <= 1
