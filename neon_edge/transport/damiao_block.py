"""A tick of Damiao motors without a frame in Python: arrays to the kernel's structs and back."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from neon_edge.clock import Clock
from neon_edge.transport.can import CanSocket
from neon_edge.transport.can_block import Frames, Outgoing, heads_of
from neon_edge.transport.can_chain import UNKNOWN_FAULT, CanChain
from neon_edge.transport.chain import JointCounters, Placed, Places
from neon_edge.transport.damiao_dialect import DamiaoDialect
from neon_edge.transport.flexible import FlexibleBus
from neon_edge.transport.protocol.damiao import Condition
from neon_edge.transport.protocol.damiao_batch import ALL_BUT_POSITION, CONDITION, CommandBatch
from neon_edge.transport.protocol.socketcan import HIGHEST_STANDARD
from neon_edge.types import Int64, JointCommand, JointState


class DamiaoBlockChain(CanChain):
    """`CanChain` for Damiao motors on SocketCAN: the same frames and the same numbers for less."""

    def __init__(
        self,
        bus: CanSocket,
        placed: Sequence[Placed],
        counters: JointCounters,
        clock: Clock,
        dialect: DamiaoDialect,
    ) -> None:
        wire = FlexibleBus(bus) if bus.fd else bus
        super().__init__(wire, placed, counters, clock, dialect)
        self._socket = bus
        self._batch: CommandBatch = dialect.batch
        motors = dialect.motors
        self._outgoing = Outgoing([motor.id for motor in motors], fd=bus.fd)
        self._place: Places = np.full(HIGHEST_STANDARD + 1, -1, np.intp)
        self._place[[motor.feedback_id for motor in motors]] = range(len(motors))
        self._heads = heads_of([motor.feedback_id for motor in motors])
        self._told = b""
        self._rests: list[int] = []
        self._mounted = self._batch.mounted(self._axes.signs, self._axes.offsets)
        self._position = [0.0] * len(motors)
        self._floats = struct.Struct(f"{len(motors)}f")
        self._sent = _view(counters.sent, self._axes.span)
        self._received = _view(counters.received, self._axes.span)
        # A call of numpy costs as much as a dozen lines of Python, so where everybody answers, as
        # nearly always, these alone say so, and `_awaited` and the faults stay as they are.
        self._heard_all = self._all_awaited = self._faulty = False

    def enable(self) -> None:
        """Switch on, and hold the pose just measured."""
        super().enable()
        self._position[:] = self._axes.joint_positions(self._held).tolist()

    def read(self, state: JointState) -> None:
        """Take in the frames that have arrived. What is no plain frame is no feedback."""
        now_ns = self._clock.now_ns()
        over = False
        while not over:
            words, frames, over = self._socket.receive_block(self._heads)
            if words is not None:
                self._hear_all(words, state, now_ns)
            elif len(frames):
                self._hear_some(frames, state, now_ns)

    def _hear_all(self, words: list[int], state: JointState, now_ns: int) -> None:
        """Every motor once, as it is nearly always."""
        self._position, velocity, torque = self._mounted.states(words)
        span = self._axes.span
        if self._received is not None:
            at = 4 * self._axes.places[0]
            self._floats.pack_into(state.position.data, at, *self._position)
            self._floats.pack_into(state.velocity.data, at, *velocity)
            self._floats.pack_into(state.torque.data, at, *torque)
            self._received += 1
        else:
            state.position[span], state.velocity[span] = self._position, velocity
            state.torque[span] = torque
            self._counters.received[span] += 1
        state.received_ns[span] = now_ns
        self._heard_all = True
        faults = self._faults(words, range(len(words)))
        if faults or self._faulty:
            self._counters.faults[span] = faults
            self._faulty = bool(faults)

    def _forget(self) -> None:
        super()._forget()
        self._heard_all = self._all_awaited = False

    def _count_missing(self) -> None:
        if self._heard_all and self._all_awaited:
            self._heard_all = False
            return
        if self._heard_all:
            self._awaited[:] = self._heard_all = False
        super()._count_missing()
        self._all_awaited = True

    def _hear_some(self, frames: Frames, state: JointState, now_ns: int) -> None:
        """Some motors, in any order, or one of them twice: of its answers the last counts."""
        places = self._place[frames["id"]]
        ours = places >= 0
        places, words = places[ours], frames["data"][ours].tolist()
        position, velocity, torque = self._mounted.some_states(words, places.tolist())
        for place, at in zip(places.tolist(), position, strict=True):
            self._position[place] = at
        joints = self._axes.index[places]
        state.position[joints], state.velocity[joints] = position, velocity
        state.torque[joints], state.received_ns[joints] = torque, now_ns
        self._awaited[places] = self._all_awaited = False
        np.add.at(self._counters.received, joints, 1)
        self._counters.faults[joints] = faults = self._faults(words, places.tolist())
        self._faulty |= bool(faults)

    def _faults(self, words: list[int], places: Sequence[int]) -> list[int] | int:
        if not self._enabled or not words:
            return 0
        # The condition is on top: where the least and the greatest are well, all are.
        well = min(words) >> CONDITION == max(words) >> CONDITION == Condition.ENABLED
        if well and not self._any_stopped:
            return 0
        faults = []
        for word, place in zip(words, places, strict=True):
            condition = word >> CONDITION
            if condition != Condition.ENABLED:
                self._stopped[place] = self._any_stopped = True
            off = bool(self._stopped[place])
            known = 0 if condition == Condition.ENABLED else condition
            faults.append(known or UNKNOWN_FAULT if off else 0)
        return faults

    def _command(self, command: JointCommand) -> int:
        if self._any_stopped:
            return super()._command(command)
        told = command.kp.tobytes() + command.kd.tobytes()
        told += command.velocity.tobytes() + command.torque.tobytes()
        goals = command.position[self._axes.span].tolist()
        words = self._mounted.words(self._rests, goals) if told == self._told else None
        if words is None:
            # Until it has gone through whole, the next one must as well.
            self._told = b""
            words = self._batch.words(self._rows.fill(command, self._positions)).tolist()
            self._rests = [word & ALL_BUT_POSITION for word in words]
            self._told = told
        self._outgoing.words[:] = words
        sent = self._socket.send_block(self._outgoing)
        if self._sent is not None and sent == len(words):
            self._sent += 1
        else:
            self._counters.sent[self._axes.first(sent)] += 1
        return sent

    def _positions(self) -> list[float]:
        axes = self._axes
        mounted = zip(axes.signs, self._position, axes.offsets, strict=True)
        return [sign * position + offset for sign, position, offset in mounted]


def _view(counts: Int64, span: slice | Places) -> Int64 | None:
    """The chain's own part of an array, where its joints stand together."""
    return counts[span] if isinstance(span, slice) else None
