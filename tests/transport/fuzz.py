"""Random and mutated frames into decoders and emulators: `python -m tests.transport.fuzz COUNT`.

Nothing may raise. A packet that comes out of a stream must, encoded again, be bytes that went in.
A frame that cannot be valid (its check broken, its length, kind or id wrong) must leave every goal
and gain of every motor as it was. Whatever is accepted, all state stays finite and within limits.
"""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np

from neon_edge.config import CanBus
from neon_edge.transport.can_chain import CanChain
from neon_edge.transport.chain import Placed, joint_counters
from neon_edge.transport.families import make_chain
from neon_edge.transport.protocol import dynamixel, feetech, unitree
from neon_edge.transport.protocol.dynamixel_stream import StreamParser
from neon_edge.transport.protocol.socketcan import FD_LENGTHS, encode_frame
from neon_edge.transport.protocol.stream import PacketStream
from neon_edge.types import BusFrame, JointState
from tests.transport.families import robot_of
from tests.transport.inline import InlineRig

ADVANCE_EVERY = 200


class Fuzzed:
    """One family's rig, and what has been found."""

    def __init__(self, family: str, seed: int) -> None:
        self.draw = random.Random(f"{family} {seed}")
        self.rig = InlineRig(robot_of(family), (0.2, -0.3, 0.4))
        self.accepted = self.refused = 0
        config = self.rig.config
        placed = [Placed(k, joint) for k, joint in enumerate(config.joints)]
        counters = joint_counters(3)
        self.state = JointState(*(np.zeros(3, np.float32) for _ in range(3)), np.zeros(3, np.int64))
        self.chain = make_chain(
            config.buses[0], self.rig.bus, placed, counters, self.rig.clock, config.rate_hz
        )

    def pulls(self) -> tuple[bytes, ...]:
        """Every goal and gain in the body."""
        d: Any = self.rig.body.dynamics
        return tuple(
            array.tobytes() for array in (d._goal, d._goal_velocity, d._kp, d._kd, d._feedforward)
        )

    def hear(self, raw: bytes, *, valid: bool) -> None:
        """Into the emulator; what cannot be valid changes nothing."""
        motors, clock = self.rig.bus.motors, self.rig.clock
        before = None if valid else self.pulls()
        replies = motors.hear(raw, clock.now_ns())
        if before is not None:
            self.refused += 1
            assert self.pulls() == before, raw.hex(" ")
        else:
            self.accepted += 1
        for reply in replies[:2]:
            assert reply.raw

    def settle(self) -> None:
        """Let time pass, and look at everything."""
        clock, body = self.rig.clock, self.rig.body
        clock.advance_ns(self.draw.randrange(3_000_000))
        body.advance(clock.now_ns())
        q = body.positions()
        assert bool(np.isfinite(q).all() and (np.abs(q) <= 1.5 + 1e-9).all())
        self.chain.read(self.state)
        for array in (self.state.position, self.state.velocity, self.state.torque):
            assert bool(np.isfinite(array).all())


def fuzz(family: str, count: int, seed: int = 1) -> tuple[int, int]:
    """So many frames each way. Gives how many could be valid, and how many could not."""
    fuzzed = Fuzzed(family, seed)
    if isinstance(fuzzed.rig.config.buses[0], CanBus):
        _fuzz_can(fuzzed, count)
    else:
        _fuzz_serial(fuzzed, family, count)
    return fuzzed.accepted, fuzzed.refused


def _fuzz_can(fuzzed: Fuzzed, count: int) -> None:
    draw, rig, chain = fuzzed.draw, fuzzed.rig, fuzzed.chain
    assert isinstance(chain, CanChain)
    dialect: Any = chain._dialect
    rows = np.zeros((5, 3))
    rows[2], rows[3] = 20.0, 1.0
    good = [*dialect.commands(rows), *dialect.ask(), *dialect.off()]
    fd = isinstance(rig.config.buses[0], CanBus) and rig.config.buses[0].fd
    own = {frame.arbitration_id for frame in good} | {0, 0x080, 0x7FF}
    replies = [f.arbitration_id for f in _answers(rig, good)] or [0]
    for k in range(count):
        frame = draw.choice(good)
        kind = draw.random()
        if kind < 0.5:
            payload = _mutated(draw, frame.payload or bytes(8))
            frame = frame._replace(payload=payload, remote=False)
        elif kind < 0.75:
            length = draw.choice(FD_LENGTHS if fd else range(9))
            frame = frame._replace(payload=draw.randbytes(length), remote=False)
        else:
            extended = draw.random() < 0.5
            number = draw.randrange(0x2000_0000 if extended else 0x800)
            frame = BusFrame(number, draw.randbytes(draw.randrange(9)), extended)
        valid = frame.arbitration_id in own or _addresses(frame, rig)
        fuzzed.hear(encode_frame(frame), valid=valid)
        heard = frame._replace(arbitration_id=draw.choice(replies)) if k & 1 else frame
        place = dialect.hear(heard)
        assert -1 <= place < 3
        if k % ADVANCE_EVERY == 0:
            fuzzed.settle()


def _answers(rig: InlineRig, frames: list[BusFrame]) -> list[BusFrame]:
    rig.bus.send(frames)
    return rig.bus.receive_ready()


def _addresses(frame: BusFrame, rig: InlineRig) -> bool:
    """Whether a frame's id could mean one of the motors, in any family's way."""
    ids = {joint.motor.id for joint in rig.config.joints}
    number = frame.arbitration_id
    return bool({number & 0x7F, number & 0xFF, number >> 5 & 0x3F} & ids) or frame.payload[1:2] in (
        *(bytes((i,)) for i in ids),
        b"\0",
    )


def _mutated(draw: random.Random, payload: bytes) -> bytes:
    changed = bytearray(payload)
    for _ in range(draw.randrange(1, 4)):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _again(family: str, packet: Any) -> bytes:
    if family == "dynamixel":
        return dynamixel.encode(packet.servo, packet.instruction, packet.body)
    if family == "unitree":
        return unitree.encode_command(packet)
    return feetech.encode(packet.servo, packet.word, packet.body)


def _fuzz_serial(fuzzed: Fuzzed, family: str, count: int) -> None:
    draw, rig = fuzzed.draw, fuzzed.rig
    good = _packets(family)
    host: PacketStream[Any] = {
        "dynamixel": StreamParser,
        "unitree": unitree.CommandStream,
    }.get(family, feetech.Stream)()
    history = b""
    for k in range(count):
        packet = draw.choice(good)
        if draw.random() < 0.3:
            raw, valid = draw.randbytes(draw.randrange(1, 24)), True
        elif draw.random() < 0.2:
            raw, valid = packet, True
        else:
            raw, valid = _mutated(draw, packet), True
        # A packet that fails its check on its own, into parsers without a tail, is no command.
        fresh = type(host)()
        if not fresh.feed(raw):
            rig.bus.motors.parser.forget()  # type: ignore[attr-defined]
            valid = False
        fuzzed.hear(raw, valid=valid)
        history = (history + raw)[-4096:]
        for heard in host.feed(raw):
            if family != "dynamixel" or heard.servo <= dynamixel.HIGHEST_ID:
                _same_bytes(family, heard, history)
        if len(host._pending) > 64:
            host.forget()
        if k % ADVANCE_EVERY == 0:
            fuzzed.settle()


def _same_bytes(family: str, heard: Any, history: bytes) -> None:
    try:
        again = _again(family, heard)
    except ValueError:
        # An id or a mode that we would not send.
        return
    if family == "unitree":
        # A reserved bit may be set, and both gains' upper halves: compare what it says.
        (twice,) = unitree.CommandStream().feed(again)
        assert twice == heard
    else:
        assert again in history, (again.hex(), history.hex())


def _packets(family: str) -> list[bytes]:
    if family == "dynamixel":
        goal = (2100).to_bytes(4, "little")
        return [
            dynamixel.sync_write(116, 4, [(i, goal) for i in (1, 2, 3)]),
            dynamixel.write(1, 64, b"\1"),
            dynamixel.write(2, 116, goal),
            dynamixel.sync_read(126, 10, [1, 2, 3]),
            dynamixel.fast_sync_read(126, 10, [1, 2, 3]),
            dynamixel.ping(),
            dynamixel.status(1, 0, bytes(10)),
        ]
    if family == "unitree":
        return [
            unitree.encode_command(unitree.Command(i, mode, 0.3, 0.0, 20.0, 1.0, 0.5))
            for i in range(4)
            for mode in (0, 1)
        ]
    return [
        feetech.sync_write(42, 2, [(i, b"\x00\x08") for i in (1, 2, 3)]),
        feetech.write(1, 40, b"\1"),
        feetech.write(2, 42, b"\x00\x07"),
        feetech.sync_read(56, 6, [1, 2, 3]),
        feetech.read(1, 56, 6),
        feetech.encode(1, 0, bytes(6)),
    ]


def main(count: int = 10_000, seed: int = 1) -> None:
    """One row a family."""
    from tests.transport.families import FAMILIES

    print(f"{'family':<14}{'frames':>10}{'could be valid':>16}{'could not':>12}{'found':>7}")
    for family in FAMILIES:
        valid, invalid = fuzz(family, count, seed)
        print(f"{family:<14}{valid + invalid:>10}{valid:>16}{invalid:>12}{0:>7}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
