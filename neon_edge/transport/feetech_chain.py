"""Feetech servos in the tick: one sync write of goals, and the states asked for behind it.

STS/SMS servos answer one sync read; SCS servos know none and are asked in turn. There is no
watchdog and no damping mode: DAMP and OFF take the torque off, every tick, and goals are sent again
only after `enable`. A servo whose host dies holds its last goal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from neon_edge.clock import Clock
from neon_edge.config import FeetechMotor
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.transport.bus import Bus
from neon_edge.transport.chain import Axes, JointCounters, Placed
from neon_edge.transport.identity import check_firmware
from neon_edge.transport.protocol import feetech
from neon_edge.transport.protocol.feetech import Packet, Stream
from neon_edge.transport.rounds import LIMP, Look, Rounds
from neon_edge.transport.turns import SLACK_NS, TurnLine, line_ns
from neon_edge.types import BusFrame, Float64, JointCommand, JointState, Rung

GUARDED_BYTES = feetech.TORQUE_LIMIT + 2 - feetech.TORQUE_ENABLE
"""From torque enable to the torque limit."""


class FeetechChain:
    """The Feetech servos of one serial line, all of one series."""

    def __init__(
        self,
        bus: Bus,
        placed: Sequence[Placed],
        motors: Sequence[FeetechMotor],
        counters: JointCounters,
        clock: Clock,
        baud: int,
    ) -> None:
        turn_ns = line_ns(8 + 6 + max(feetech.PRESENT_BYTES, GUARDED_BYTES), baud)
        self._line = TurnLine(bus, Stream(), clock, turn_ns)
        self._placed = placed
        self._motors = motors
        self._counters = counters
        if len({motor.series for motor in motors}) > 1:
            raise ConfigWrong(
                f"bus {bus.name!r} has STS and SCS servos",
                "their words have different byte orders, and only STS know sync read",
                "put them on two lines",
            )
        self._order = "big" if motors[0].series == "scs" else "little"
        self._axes = Axes(placed)
        self._ids = [motor.id for motor in motors]
        self._place = {motor.id: k for k, motor in enumerate(motors)}
        self._turns = np.array([motor.counts_per_turn for motor in motors], np.float64)
        self._awaited = np.zeros(len(placed), np.bool_)
        self._request = feetech.sync_read(feetech.PRESENT, feetech.PRESENT_BYTES, self._ids)
        self._each = [feetech.read(i, feetech.PRESENT, feetech.PRESENT_BYTES) for i in self._ids]
        self._torque_off = self._switch(b"\0")
        self._on = list(range(len(placed)))
        looks = [self._look(k) for k in self._on]
        self._rounds = Rounds(bus, clock, looks, turn_ns + SLACK_NS)
        self._enabled = False

    @property
    def turns(self) -> TurnLine[Packet]:
        """SCS servos', one by one; STS servos leave none."""
        return self._line

    def _look(self, place: int) -> Look:
        """Torque enable, and where there is one the torque limit."""
        motor, length, wanted = self._motors[place], 1, [(0, b"\1")]
        if motor.series == "sts":
            limit = feetech.pack_word(self._torque_share(place), self._order)
            length = GUARDED_BYTES
            wanted.append((feetech.TORQUE_LIMIT - feetech.TORQUE_ENABLE, limit))
        question = feetech.read(motor.id, feetech.TORQUE_ENABLE, length)
        return Look(place, motor.id, question, length, tuple(wanted))

    def _switch(self, value: bytes) -> bytes:
        return feetech.sync_write(feetech.TORQUE_ENABLE, 1, [(i, value) for i in self._ids])

    def set_up(self) -> None:
        """Every servo is the model stated, off, answers at once, travels and pulls as stated."""
        for placed, motor in zip(self._placed, self._motors, strict=True):
            self._line.ask(feetech.ping(motor.id), placed)
            self._line.compare(
                placed, "model number", motor.model, self._get(placed, feetech.MODEL)
            )
            self._put(placed, feetech.TORQUE_ENABLE, b"\0")
            self._identify(placed, motor)
            # EEPROM wears: write only what differs, and close it again.
            lock = feetech.STS_LOCK if motor.series == "sts" else feetech.SCS_LOCK
            if self._read(placed, feetech.RETURN_DELAY, 1) != b"\0":
                self._put(placed, lock, b"\0")
                self._put(placed, feetech.RETURN_DELAY, b"\0")
            self._put(placed, lock, b"\1")
            self._check_travel(placed, motor)
        self.prepare()

    def _identify(self, placed: Placed, motor: FeetechMotor) -> None:
        firmware = ".".join(map(str, self._read(placed, feetech.FIRMWARE, 2)))
        check_firmware(placed.joint, self._line.bus.name, motor.firmware, firmware)
        self._counters.told[placed.place] = f"model {motor.model}, firmware {firmware}"
        # In wheel mode a goal position is a speed; an SCS servo has no such register.
        if motor.series == "sts":
            mode = self._read(placed, feetech.STS_MODE, 1)[0]
            self._line.compare(placed, "operating mode (33), position control", 0, mode)

    def _torque_share(self, place: int) -> int:
        placed, motor = self._placed[place], self._motors[place]
        share = math.floor(placed.joint.effort / motor.stall_torque * 1000)
        if share > 1000:
            raise ConfigWrong(
                f"joint {placed.joint.name!r}: effort is more than its servo gives",
                f"robot file {placed.joint.effort:g} N·m, stall torque {motor.stall_torque:g} N·m",
                "correct the joint's effort, or stall_torque",
            )
        return share

    def _check_travel(self, placed: Placed, motor: FeetechMotor) -> None:
        joint = placed.joint
        ends = sorted(joint.sign * end + joint.offset for end in (joint.lower, joint.upper))
        limits = self._read(placed, feetech.ANGLE_LIMITS, 4)
        counts = [feetech.unpack_word(limits[k : k + 2], self._order) for k in (0, 2)]
        if counts == [0, 0]:
            # Both at zero: the servo has no limits of its own.
            counts = [0, motor.counts_per_turn - 1]
        least, most = ((c / motor.counts_per_turn - 0.5) * math.tau for c in counts)
        if ends[0] < least or ends[1] > most:
            raise ConfigWrong(
                f"joint {joint.name!r}: the servo does not travel as far as the robot file",
                f"robot file {ends[0]:.3f} .. {ends[1]:.3f} rad at the servo, servo {motor.id} "
                f"says {least:.3f} .. {most:.3f} rad",
                "correct the joint's limits, or the servo's angle limits (9, 11)",
            )

    def lull(self) -> int:
        """There is no watchdog to see trip."""
        return 0

    def check_tripped(self) -> None:
        """There is no watchdog."""

    def measure(self) -> Float64:
        """Joint positions (n,) in rad."""
        counts = []
        for placed in self._placed:
            values = self._read(placed, feetech.PRESENT, feetech.PRESENT_BYTES)
            counts.append(feetech.decode_present(values, self._order)[0])
        return self._axes.joint_positions((np.array(counts) / self._turns - 0.5) * math.tau)

    def prepare(self) -> None:
        """The torque limit, which a restart forgets. Nothing latches."""
        for place, placed in enumerate(self._placed):
            if self._motors[place].series == "sts":
                limit = feetech.pack_word(self._torque_share(place), self._order)
                self._put(placed, feetech.TORQUE_LIMIT, limit)

    def enable(self) -> None:
        """Goal to the pose just measured, then torque on: a servo moves to whatever goal it has."""
        self._on = list(range(len(self._ids)))
        pose = self._axes.sign * self.measure() + self._axes.offset
        goals = self._goals(pose)
        self._line.bus.send([BusFrame(0, self._goal_packet(goals))])
        self._counters.sent[self._axes.index] += 1
        for placed, goal in zip(self._placed, goals, strict=True):
            self._confirm(placed, feetech.GOAL_POSITION, goal)
        self._line.bus.send([BusFrame(0, self._switch(b"\1"))])
        for placed in self._placed:
            self._confirm(placed, feetech.TORQUE_ENABLE, b"\1")
        self._awaited[:] = False
        self._counters.faults[self._axes.index] = 0
        self._rounds.forget()
        self._enabled = True

    def disable(self) -> None:
        """Torque off, read back."""
        self._enabled = False
        self._awaited[:] = False
        self._line.bus.send([BusFrame(0, self._torque_off)])
        for placed in self._placed:
            self._put(placed, feetech.TORQUE_ENABLE, b"\0")

    def read(self, state: JointState) -> None:
        """Take in the answers that have arrived."""
        for packet, now_ns in self._line.take():
            place = self._place.get(packet.servo)
            look = self._rounds.answer(packet.servo, packet.body)
            if look is not None and self._rounds.lost(look, packet.body) and look.place in self._on:
                self._on.remove(look.place)
            if place is None or len(packet.body) != feetech.PRESENT_BYTES:
                continue
            joint = self._axes.places[place]
            # The byte is what is wrong with the servo now, not with the question.
            if packet.word:
                self._rounds.suspect(place)
            wrong = packet.word or (0 if place in self._on else LIMP)
            self._counters.faults[joint] = wrong if self._enabled else 0
            self._axes.store(state, place, self._at_motor(place, packet), now_ns)
            self._awaited[place] = False
            self._counters.received[joint] += 1
        # Whoever is late may be on the line still.
        if self._enabled and not self._awaited.any():
            self._rounds.ask()

    def _at_motor(self, place: int, packet: Packet) -> tuple[float, float, float]:
        motor = self._motors[place]
        count, speed, load = feetech.decode_present(packet.body, self._order)
        turn = math.tau / motor.counts_per_turn
        position = count * turn - math.pi
        return position, speed * turn, load / 1000 * motor.stall_torque

    def write(self, command: JointCommand) -> int:
        """Goals and a request for states. Servos that are off are only asked, and kept off."""
        self._counters.missing[self._axes.index] += self._awaited
        self._rounds.doubt(self._awaited)
        self._awaited[:] = True
        if command.rung >= Rung.DAMP:
            self._enabled = False
        sent = 0
        packet = self._torque_off
        if self._enabled:
            goals = self._goals(self._axes.motor_positions(command.position))
            packet = self._goal_packet(goals) if self._on else b""
            self._counters.sent[self._axes.index[self._on]] += 1
            sent = len(self._on)
        self._line.let_pass(self._rounds.quiet_ns)
        if self._order == "little":
            self._line.bus.send([BusFrame(0, packet + self._request)])
        else:
            self._line.bus.send([BusFrame(0, packet)])
            self._line.in_turn(self._each)
        return sent

    def _goals(self, positions: Float64) -> list[bytes]:
        counts = np.rint((positions / math.tau + 0.5) * self._turns)
        # Comparisons with NaN are false, so this refuses NaN and both infinities too.
        if not bool(((counts >= 0) & (counts < self._turns)).all()):
            raise ValueError(f"positions {positions} rad are not all within one turn")
        return [feetech.pack_word(int(count), self._order) for count in counts]

    def _goal_packet(self, goals: Sequence[bytes]) -> bytes:
        pairs = [(self._ids[place], goals[place]) for place in self._on]
        return feetech.sync_write(feetech.GOAL_POSITION, 2, pairs)

    def _read(self, placed: Placed, address: int, length: int) -> bytes:
        question = feetech.read(placed.joint.motor.id, address, length)
        answer = self._line.ask(question, placed)
        if answer.servo != placed.joint.motor.id or len(answer.body) != length:
            # An answer to an earlier question; ask once more.
            answer = self._line.ask(question, placed)
        return answer.body

    def _get(self, placed: Placed, address: int) -> int:
        return feetech.unpack_word(self._read(placed, address, 2), self._order)

    def _put(self, placed: Placed, address: int, values: bytes) -> None:
        self._line.ask(feetech.write(placed.joint.motor.id, address, values), placed)
        self._confirm(placed, address, values)

    def _confirm(self, placed: Placed, address: int, values: bytes) -> None:
        held = self._read(placed, address, len(values))
        if held != values:
            raise DeviceMissing(
                f"joint {placed.joint.name!r} does not obey",
                f"servo {placed.joint.motor.id} holds {held.hex(' ')} at {address}, was sent "
                f"{values.hex(' ')}",
                "switch the servo's power off and on",
            )
