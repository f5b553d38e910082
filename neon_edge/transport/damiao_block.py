"""A tick of Damiao motors without a frame in Python: arrays to the kernel's structs and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neon_edge.clock import Clock
from neon_edge.transport.can import CanSocket
from neon_edge.transport.can_block import (
    CAPACITY,
    HIGHEST_STANDARD,
    Frames,
    Outgoing,
    heads_of,
)
from neon_edge.transport.can_chain import UNKNOWN_FAULT, CanChain
from neon_edge.transport.chain import Float64, JointCounters, Placed, Places
from neon_edge.transport.damiao_dialect import DamiaoDialect
from neon_edge.transport.protocol.damiao import Condition
from neon_edge.transport.protocol.damiao_batch import CommandBatch, Words
from neon_edge.types import JointCommand, JointState, UInt8

ALL = slice(None)


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
        super().__init__(bus, placed, counters, clock, dialect)
        self._socket = bus
        self._batch: CommandBatch = dialect.batch
        motors = dialect.motors
        self._outgoing = Outgoing([motor.id for motor in motors])
        self._place: Places = np.full(HIGHEST_STANDARD + 1, -1, np.intp)
        self._place[[motor.feedback_id for motor in motors]] = range(len(motors))
        self._heads = heads_of([motor.feedback_id for motor in motors])
        self._well = np.full(CAPACITY, Condition.ENABLED, np.uint64).tobytes()
        self._told = b""
        self._words: Words = np.zeros(len(motors), np.uint64)
        self._mounted = self._batch.mounted(self._axes.sign, self._axes.offset)
        self._joint: Float64 = np.zeros((3, len(motors)))

    def enable(self) -> None:
        """Switch on, and hold the pose just measured."""
        super().enable()
        self._joint[0] = self._axes.joint_positions(self._held)

    def read(self, state: JointState) -> None:
        """Take in the frames that have arrived. What is no plain frame is no feedback."""
        now_ns = self._clock.now_ns()
        over = False
        while not over:
            words, frames, over = self._socket.receive_block(self._heads)
            if words is not None:
                self._hear_all(words.astype(np.uint64), state, now_ns)
            elif len(frames):
                self._hear_some(frames, state, now_ns)

    def _hear_all(self, words: Words, state: JointState, now_ns: int) -> None:
        """Every motor once and in order, as it is nearly always."""
        self._joint, conditions = self._mounted.states(words, ALL)
        self._axes.store_whole(state, self._joint, now_ns)
        self._awaited[:] = False
        self._counters.received[self._axes.span] += 1
        self._counters.faults[self._axes.span] = self._faults(conditions)

    def _hear_some(self, frames: Frames, state: JointState, now_ns: int) -> None:
        """Some motors, in any order, or one of them twice: of its answers the last counts."""
        places = self._place[frames["id"]]
        ours = places >= 0
        places, words = places[ours], frames["data"][ours].astype(np.uint64)
        states, conditions = self._mounted.states(words, places)
        joints = self._axes.index[places]
        self._joint[:, places] = states
        state.position[joints], state.velocity[joints], state.torque[joints] = states
        state.received_ns[joints] = now_ns
        self._awaited[places] = False
        np.add.at(self._counters.received, joints, 1)
        self._counters.faults[joints] = self._faults(conditions)

    def _faults(self, conditions: Words) -> UInt8 | int:
        if not self._enabled or conditions.tobytes() == self._well[: conditions.nbytes]:
            return 0
        told = np.where(conditions == Condition.DISABLED, UNKNOWN_FAULT, conditions)
        return np.where(conditions == Condition.ENABLED, 0, told).astype(np.uint8)

    def _command(self, command: JointCommand) -> int:
        told = command.kp.tobytes() + command.kd.tobytes()
        told += command.velocity.tobytes() + command.torque.tobytes()
        same = told == self._told
        if not (
            same and self._batch.moved(self._words, self._axes.motor_positions(command.position))
        ):
            # Until it has gone through whole, the next one must as well.
            self._told = b""
            self._words = self._batch.words(self._rows.fill(command, self._positions))
            self._told = told
        self._outgoing.words[:] = self._words
        return self._socket.send_block(self._outgoing)

    def _positions(self) -> list[float]:
        axes = self._axes
        positions: list[float] = (axes.sign * self._joint[0] + axes.offset).tolist()
        return positions
