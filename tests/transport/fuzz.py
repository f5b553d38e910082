"""Random and mutated frames into decoders and emulators: `python -m tests.transport.fuzz COUNT`.

Nothing may raise. A frame may change goal, gains or torque limit of those motors alone that it
could be meant for (`fuzz_oracles.py`: kind of id, remote flag, length; on lines: its check), and on
our side the state of those alone whose answer it could be. A packet that comes out of a stream
must, encoded again, be bytes that went in. Whatever is accepted, all state stays finite and within
limits. Each way in which that fails is counted, and the first few are printed.
"""

from __future__ import annotations

import contextlib
import random
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from neon_edge.config import CanBus
from neon_edge.errors import NeonEdgeError
from neon_edge.transport.bus import Bus
from neon_edge.transport.can import CanSocket
from neon_edge.transport.chain import Chain, Placed, joint_counters
from neon_edge.transport.families import make_chain
from neon_edge.transport.protocol.socketcan import BUS_OFF, ERROR_FLAG, FD_LENGTHS, encode_frame
from neon_edge.types import BusFrame, JointState
from tests.transport.families import FAMILIES, robot_of
from tests.transport.fuzz_oracles import EVERYONE, MOVES, TELLS, Places
from tests.transport.inline import InlineRig

ADVANCE_EVERY, ARM_EVERY = 200, 500
KEPT = 5


class Fuzzed:
    """One family's rig, and what has been found."""

    def __init__(self, family: str, seed: int) -> None:
        self.family = family
        self.draw = random.Random(f"{family} {seed}")
        self.rig = InlineRig(robot_of(family), (0.2, -0.3, 0.4))
        self.sound = self.unsound = self.found = self.armed = 0
        self.words: list[str] = []
        """Of what was found, the first few."""
        self.state = JointState(*(np.zeros(3, np.float32) for _ in range(3)), np.zeros(3, np.int64))
        self.chain = self.chain_on(self.rig.bus)

    def chain_on(self, bus: Bus) -> Chain:
        """Our side of the family, listening to `bus`."""
        config = self.rig.config
        placed = [Placed(k, joint) for k, joint in enumerate(config.joints)]
        counters = joint_counters(3)
        rate_hz = config.rate_hz
        return make_chain(config.buses[0], bus, placed, counters, self.rig.clock, rate_hz)

    @contextmanager
    def looking(self, what: Callable[[], object]) -> Iterator[None]:
        """Whatever fails in here is one finding."""
        try:
            yield
        except Exception as failure:
            self.found += 1
            if len(self.words) < KEPT:
                where = traceback.extract_tb(failure.__traceback__)[-1]
                self.words.append(f"{what()}: {failure!r} at {where.filename}:{where.lineno}")

    def pulls(self) -> list[bytes]:
        """Of each motor: what it is pulled to and with; what no gain acts on does not count."""
        d = self.rig.body.dynamics
        rows = np.stack(
            [d._goal * (d._kp > 0), d._goal_velocity * (d._kd > 0), d._kp, d._kd, d._feedforward,
             d.effort]
        )  # fmt: skip
        return [row.tobytes() for row in rows.T]

    def hear(self, raw: bytes, meant: Places) -> None:
        """Into the emulator; who is not meant is not moved."""
        motors, clock = self.rig.bus.motors, self.rig.clock
        motors.watch(clock.now_ns())
        before = self.pulls()
        for reply in motors.hear(raw, clock.now_ns())[:2]:
            assert reply.raw
        self.sound += bool(meant)
        self.unsound += not meant
        after = self.pulls()
        moved = {k for k in range(3) if before[k] != after[k]}
        assert moved <= meant, f"moved {moved}"

    def put(self, answer: BusFrame) -> None:
        """On the wire to us, alone: what motors say unasked has gone by."""
        self.rig.bus.receive_ready()
        self.rig.bus._waiting = [answer]

    def arm(self) -> None:
        """Motors that are off obey nobody; some cannot be armed as they stand."""
        with contextlib.suppress(NeonEdgeError):
            self.chain.set_up()
            self.chain.prepare()
            self.chain.enable()
            self.armed += 1

    def read(self, meant: Places) -> None:
        """Our side takes in what waits; only states that it could be are new."""
        self.rig.clock.advance_ns(1)
        before = self.state.received_ns.copy()
        self.chain.read(self.state)
        heard = set(np.flatnonzero(self.state.received_ns != before).tolist())
        assert heard <= meant, f"heard {heard}"
        for array in (self.state.position, self.state.velocity, self.state.torque):
            assert bool(np.isfinite(array).all())

    def settle(self) -> None:
        """Let time pass, and look at everything."""
        clock, body = self.rig.clock, self.rig.body
        clock.advance_ns(self.draw.randrange(3_000_000))
        body.advance(clock.now_ns())
        q = body.positions()
        assert bool(np.isfinite(q).all() and (np.abs(q) <= 1.5 + 1e-9).all())
        self.rig.bus.receive_ready()


def fuzz(family: str, count: int, seed: int = 1) -> Fuzzed:
    """So many frames each way."""
    fuzzed = Fuzzed(family, seed)
    if not isinstance(fuzzed.rig.config.buses[0], CanBus):
        from tests.transport.fuzz_serial import fuzz_serial

        fuzz_serial(fuzzed, count)
        return fuzzed
    good, replies = _examples(fuzzed)
    if family == "damiao":
        for fd in (False, True):
            _block_chain(fuzzed, count, replies, fd=fd)
    for k in range(count):
        frame, answer = _drawn(fuzzed, good), _drawn(fuzzed, replies)
        with fuzzed.looking(lambda f=frame: f"to the motors {f}"):  # type: ignore[misc]
            fuzzed.hear(encode_frame(frame), MOVES[family](frame))
        with fuzzed.looking(lambda f=answer: f"to us {f}"):  # type: ignore[misc]
            fuzzed.put(answer)
            fuzzed.read(TELLS[family](answer))
        if k % ADVANCE_EVERY == 0:
            with fuzzed.looking(lambda: "after a while"):
                fuzzed.settle()
        if k % ARM_EVERY == 0:
            fuzzed.arm()
    return fuzzed


def _examples(fuzzed: Fuzzed) -> tuple[list[BusFrame], list[BusFrame]]:
    """Frames as we make them, and what the motors answer."""
    fuzzed.arm()
    assert fuzzed.armed
    dialect = fuzzed.chain._dialect  # type: ignore[attr-defined]
    rows = np.zeros((5, 3))
    rows[2], rows[3] = 20.0, 1.0
    good = [*dialect.commands(rows), *dialect.ask(), *dialect.off()]
    fuzzed.rig.bus.send(good)
    return good, fuzzed.rig.bus.receive_ready()


def _drawn(fuzzed: Fuzzed, good: list[BusFrame]) -> BusFrame:
    """One of `good` with bits flipped, cut, of another kind, or something that is none of them."""
    draw, config = fuzzed.draw, fuzzed.rig.config.buses[0]
    fd = isinstance(config, CanBus) and config.fd
    frame, kind = draw.choice(good), draw.random()
    if kind < 0.4:
        return frame._replace(payload=mutated(draw, frame.payload or bytes(8)), remote=False)
    if kind < 0.6:
        length = draw.choice(FD_LENGTHS if fd else range(9))
        return frame._replace(payload=draw.randbytes(length), remote=False)
    if kind < 0.7:
        return frame._replace(payload=b"", remote=True, fd=False, bit_rate_switch=False)
    if kind < 0.8:
        number = frame.arbitration_id
        return frame._replace(extended=not frame.extended, arbitration_id=number & 0x7FF)
    if kind < 0.9:
        number = frame.arbitration_id ^ 1 << draw.randrange(29 if frame.extended else 11)
        return frame._replace(arbitration_id=number)
    extended = draw.random() < 0.5
    number = draw.randrange(0x2000_0000 if extended else 0x800)
    return BusFrame(number, draw.randbytes(draw.randrange(9)), extended)


def _block_chain(fuzzed: Fuzzed, count: int, replies: list[BusFrame], *, fd: bool) -> None:
    """The chain that runs on SocketCAN, with the kernel's structs through a socket pair."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    before, fuzzed.chain = (
        fuzzed.chain,
        fuzzed.chain_on(CanSocket("line", "unix:fuzz", ours, fuzzed.rig.clock, fd=fd)),
    )
    assert type(fuzzed.chain).__name__ == "DamiaoBlockChain"
    for _ in range(0, count, 4):
        frames = [_drawn(fuzzed, replies) for _ in range(fuzzed.draw.randrange(1, 5))]
        raw = [_kind(frame, fd) for frame in frames]
        meant: Places = set().union(*map(TELLS["damiao"], frames))
        if fuzzed.draw.random() < 0.1:
            raw.append(_no_frame(fuzzed.draw))
        if fuzzed.draw.random() < 0.3:
            # All three as they nearly always come: the short way through.
            raw, meant = [_kind(f, fd) for f in replies[:3]], EVERYONE
        for each in raw:
            theirs.send(each)
        with fuzzed.looking(lambda raw=raw: f"block {[r.hex() for r in raw]}"):  # type: ignore[misc]
            fuzzed.read(meant)
    fuzzed.chain = before
    ours.close()
    theirs.close()


def _kind(frame: BusFrame, fd: bool) -> bytes:
    """As it comes on an FD bus, or on a classic one. There are no flexible remote frames."""
    flexible = fd and not frame.remote
    return encode_frame(frame._replace(fd=flexible, bit_rate_switch=flexible))


def _no_frame(draw: random.Random) -> bytes:
    """Structs cut or stretched, lengths that no frame has, error frames; all but bus-off."""
    raw = bytearray(encode_frame(BusFrame(0x11, draw.randbytes(8))))
    match draw.randrange(3):
        case 0:
            return bytes(raw) + bytes(draw.randrange(1, 40))
        case 1:
            raw[4] = draw.randrange(9, 256)
        case _:
            number = ERROR_FLAG | draw.randrange(0x800) & ~BUS_OFF
            raw[:4] = number.to_bytes(4, "little")
    return bytes(raw)


def mutated(draw: random.Random, payload: bytes) -> bytes:
    """One to three bits flipped."""
    changed = bytearray(payload)
    for _ in range(draw.randrange(1, 4)):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def main(count: int = 10_000, seed: int = 1) -> int:
    """One row a family; 1 where anything was found."""
    print(f"{'family':<14}{'frames':>10}{'could be valid':>16}{'could not':>12}{'found':>7}")
    total = 0
    for family in FAMILIES:
        seen = fuzz(family, count, seed)
        frames = seen.sound + seen.unsound
        row = f"{family:<14}{frames:>10}{seen.sound:>16}{seen.unsound:>12}{seen.found:>7}"
        print("\n  ".join([row, *seen.words]), flush=True)
        total += seen.found
    return int(total > 0)


if __name__ == "__main__":
    raise SystemExit(main(*map(int, sys.argv[1:])))
