"""The serial families' part of the fuzzing: packets with a check, in streams, both ways."""

from __future__ import annotations

from typing import Any

from neon_edge.transport.protocol import dynamixel, feetech, unitree
from neon_edge.transport.protocol.dynamixel_stream import StreamParser
from neon_edge.transport.protocol.stream import PacketStream
from neon_edge.types import BusFrame
from tests.transport.fuzz import ADVANCE_EVERY, ARM_EVERY, Fuzzed, mutated
from tests.transport.fuzz_oracles import EVERYONE

Stream = PacketStream[Any]


def fuzz_serial(fuzzed: Fuzzed, count: int) -> None:
    """So many pieces to the motors, and as many answers to us."""
    family = fuzzed.family
    questions, host = _packets(family), _stream(family)
    motors: Stream = fuzzed.rig.bus.motors.parser  # type: ignore[attr-defined]
    fuzzed.arm()
    assert fuzzed.armed
    replies = _replies(fuzzed, questions)
    history = b""
    for k in range(count):
        raw = _drawn(fuzzed, questions)
        # What fails its check on its own, into a parser without a tail, is no command.
        sound = bool(_stream(family).feed(raw))
        if not sound:
            motors.forget()
        with fuzzed.looking(lambda raw=raw: f"to the motors {raw.hex()}"):  # type: ignore[misc]
            fuzzed.hear(raw, EVERYONE if sound else set())
        history = (history + raw)[-4096:]
        with fuzzed.looking(lambda raw=raw: f"again {raw.hex()}"):  # type: ignore[misc]
            for heard in host.feed(raw):
                _same_bytes(family, heard, history)
        if len(host._pending) > 64:
            host.forget()
        answer = _drawn(fuzzed, replies)
        with fuzzed.looking(lambda raw=answer: f"to us {raw.hex()}"):  # type: ignore[misc]
            _answer(fuzzed, answer)
        if k % ADVANCE_EVERY == 0:
            with fuzzed.looking(lambda: "after a while"):
                fuzzed.settle()
        if k % ARM_EVERY == 0:
            motors.forget()
            fuzzed.arm()


def _answer(fuzzed: Fuzzed, raw: bytes) -> None:
    """Into our chain; an answer that fails its check is nobody's state."""
    line = getattr(fuzzed.chain, "_line", None)
    ours: Stream = line.stream if line is not None else fuzzed.chain._parser  # type: ignore[attr-defined]
    fresh = _stream(fuzzed.family, replies=True)
    sound = bool(fresh.feed(raw) + fresh.settle() + fresh.settle())
    ours.forget()
    fuzzed.put(BusFrame(0, raw))
    fuzzed.read(EVERYONE if sound else set())


def _drawn(fuzzed: Fuzzed, good: list[bytes]) -> bytes:
    draw, kind = fuzzed.draw, fuzzed.draw.random()
    packet = draw.choice(good)
    if kind < 0.3:
        return draw.randbytes(draw.randrange(1, 24))
    return packet if kind < 0.5 else mutated(draw, packet)


def _stream(family: str, *, replies: bool = False) -> Stream:
    if family == "dynamixel":
        return StreamParser()
    if family == "unitree":
        return unitree.ReplyStream() if replies else unitree.CommandStream()
    return feetech.Stream()


def _replies(fuzzed: Fuzzed, questions: list[bytes]) -> list[bytes]:
    """What the motors answer to our own questions, one at a time."""
    now_ns = fuzzed.rig.clock.now_ns()
    hear = fuzzed.rig.bus.motors.hear
    return [reply.raw for question in questions for reply in hear(question, now_ns)]


def _again(family: str, packet: Any) -> bytes:
    if family == "dynamixel":
        return dynamixel.encode(packet.servo, packet.instruction, packet.body)
    if family == "unitree":
        return unitree.encode_command(packet)
    return feetech.encode(packet.servo, packet.word, packet.body)


def _same_bytes(family: str, heard: Any, history: bytes) -> None:
    if family == "dynamixel" and heard.servo > dynamixel.HIGHEST_ID:
        return
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
        assert again in history, again.hex()


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
        *(feetech.read(i, 56, 6) for i in (1, 2, 3)),
        feetech.sync_read(56, 6, [1, 2, 3]),
        feetech.encode(1, 0, bytes(6)),
    ]
