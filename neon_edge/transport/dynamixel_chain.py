"""Dynamixel servos in the tick: one sync write of goals and one sync read of states, in one go.

Rungs: RUN, SCALE and HOLD send the command's position; the servo's own gains hold it there, within
the current (or the PWM) that gives the joint's effort. It has no damping mode, so DAMP and OFF both
take the torque off, every tick, and goals are sent again only after `enable`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np

from neon_edge.clock import Clock
from neon_edge.config import DynamixelMotor
from neon_edge.errors import DeviceMissing
from neon_edge.transport.bus import Bus
from neon_edge.transport.chain import Axes, JointCounters, Placed
from neon_edge.transport.dynamixel_setup import DynamixelSetup, Servo
from neon_edge.transport.protocol import dynamixel
from neon_edge.transport.protocol import dynamixel_table as table
from neon_edge.transport.protocol.dynamixel import Instruction, Packet, Reading
from neon_edge.transport.protocol.dynamixel_stream import StreamParser
from neon_edge.transport.rounds import Look, Rounds
from neon_edge.transport.turns import SLACK_NS, line_ns
from neon_edge.types import BusFrame, Float64, JointCommand, JointState, Rung

TRIPPED = 0xFF
"""Fault: we were silent for so long that the servo's watchdog must be taken as tripped."""
TRIP_SHARE = 0.9
"""Of the watchdog's time; servos count it in their own 20 ms steps."""
QUESTION_BYTES = 14
ANSWER_BYTES = 11 + table.HARDWARE_ERROR + 1 - table.TORQUE_ENABLE
"""Of the longer of the questions that are asked in rounds."""
TEST_SHARE = 1.6
"""How much longer than its watchdog's time a servo is left alone to see it trip."""


class DynamixelChain:
    """The Dynamixel servos of one serial line."""

    turns = None

    def __init__(
        self,
        bus: Bus,
        placed: Sequence[Placed],
        motors: Sequence[DynamixelMotor],
        counters: JointCounters,
        clock: Clock,
        baud: int,
        *,
        fast: bool,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._counters = counters
        self._servos = [Servo(p.joint, motor) for p, motor in zip(placed, motors, strict=True)]
        self._parser = StreamParser()
        self._setup = DynamixelSetup(bus, self._parser, clock, fast=fast)
        self._axes = Axes(placed)
        self._ids = [servo.motor.id for servo in self._servos]
        self._place = {servo: k for k, servo in enumerate(self._ids)}
        self._turns = np.array([s.motor.counts_per_turn for s in self._servos], np.float64)
        self._torque_units = [servo.torque_unit for servo in self._servos]
        self._awaited = np.zeros(len(placed), np.bool_)
        ask = dynamixel.fast_sync_read if fast else dynamixel.sync_read
        self._request = ask(table.PRESENT, table.PRESENT_BYTES, self._ids)
        self._torque_off = dynamixel.sync_write(
            table.TORQUE_ENABLE, 1, [(servo, b"\0") for servo in self._ids]
        )
        self._on = list(range(len(placed)))
        self._address_goals()
        turn_ns = line_ns(QUESTION_BYTES + ANSWER_BYTES, baud) + SLACK_NS
        self._rounds = Rounds(bus, clock, _looks(self._servos), turn_ns)
        self._packets: list[Packet] = []
        watchdogs = [s.motor.watchdog_ms for s in self._servos if s.motor.watchdog_ms]
        self._silence_ns = int(min(watchdogs) * 1e6 * TRIP_SHARE) if watchdogs else None
        self._written_ns = 0
        self._enabled = False

    def set_up(self) -> None:
        """Find every servo, compare it with the robot file, arm its watchdog."""
        for place, servo in zip(self._axes.places, self._servos, strict=True):
            self._counters.told[place] = self._setup.identify(servo)
            self._setup.bound_effort(servo)
            self._setup.arm_watchdog(servo)

    def lull(self) -> int:
        """The watchdogs were armed last and run already, with the torque off."""
        longest_ms = max(servo.motor.watchdog_ms for servo in self._servos)
        return int(longest_ms * 1e6 * TEST_SHARE)

    def check_tripped(self) -> None:
        """Every armed register must read as tripped."""
        found = self._setup.ask_all(self._servos, table.BUS_WATCHDOG, 1)
        for servo, register in zip(self._servos, found, strict=True):
            if servo.motor.watchdog_ms and register[0] != table.WATCHDOG_TRIPPED:
                raise DeviceMissing(
                    f"joint {servo.joint.name!r}: its watchdog is dead",
                    f"servo {servo.motor.id} has register 98 at {register[0]} after "
                    f"{servo.motor.watchdog_ms} ms of silence",
                    "update the servo's firmware (38 or later), or set watchdog_ms = 0",
                )
        self.prepare()

    def measure(self) -> Float64:
        """Joint positions (n,) in rad."""
        counts = [
            table.decode_present(values)[2]
            for values in self._setup.ask_all(self._servos, table.PRESENT, table.PRESENT_BYTES)
        ]
        turns = self._turns
        return self._axes.joint_positions((np.array(counts) - turns / 2) * (math.tau / turns))

    def prepare(self) -> None:
        """Clear the watchdogs, tripped or not; bound the torque, which a restart forgets."""
        for servo in self._servos:
            self._setup.put(servo, table.BUS_WATCHDOG, 0, 1)
            self._setup.bound_effort(servo)

    def enable(self) -> None:
        """Goal to the pose just measured, then torque on: a servo moves to whatever goal it has."""
        self._on = list(range(len(self._servos)))
        self._address_goals()
        self._packets.clear()
        pose = self._axes.sign * self.measure() + self._axes.offset
        counts = table.counts_from_positions(pose, self._turns).tolist()
        self._bus.send([BusFrame(0, self._goal_packet(counts))])
        self._counters.sent[self._axes.index] += 1
        self._confirm(table.GOAL_POSITION, [struct.pack("<i", count) for count in counts])
        self._switch(table.TORQUE_ENABLE, [b"\1"] * len(counts))
        steps = [table.watchdog_register(servo.motor.watchdog_ms) for servo in self._servos]
        self._switch(table.BUS_WATCHDOG, [bytes((step,)) for step in steps])
        self._awaited[:] = False
        self._counters.faults[self._axes.index] = 0
        self._rounds.forget()
        self._written_ns = self._clock.now_ns()
        self._enabled = True

    def _switch(self, address: int, values: Sequence[bytes]) -> None:
        pairs = zip(self._ids, values, strict=True)
        self._bus.send([BusFrame(0, dynamixel.sync_write(address, len(values[0]), pairs))])
        self._confirm(address, values)

    def _confirm(self, address: int, values: Sequence[bytes]) -> None:
        """Sync writes are not answered; what reads back has been taken."""
        found = self._setup.ask_all(self._servos, address, len(values[0]))
        for servo, wanted, held in zip(self._servos, values, found, strict=True):
            if wanted != held:
                raise DeviceMissing(
                    f"joint {servo.joint.name!r} does not obey",
                    f"servo {servo.motor.id} holds {held.hex(' ')} at {address}, was sent "
                    f"{wanted.hex(' ')}",
                    "reboot the servo",
                )

    def disable(self) -> None:
        """Torque off, read back; then the watchdog, which has nothing left to guard."""
        self._enabled = False
        self._awaited[:] = False
        self._bus.send([BusFrame(0, self._torque_off)])
        for servo in self._servos:
            self._setup.put(servo, table.TORQUE_ENABLE, 0, 1)
            self._setup.put(servo, table.BUS_WATCHDOG, 0, 1)

    def read(self, state: JointState) -> None:
        """Take in the answers that have arrived."""
        now_ns = self._clock.now_ns()
        self._pump(self._bus.receive_ready())
        packets, self._packets = self._packets + self._parser.settle(), []
        for packet in packets:
            for reading in self._readings(packet):
                look = self._rounds.answer(reading.servo, reading.values)
                if look is None:
                    self._take(reading, state, now_ns)
                elif self._rounds.lost(look, reading.values):
                    self._stop(look)
        self._bus.counters.crc_errors = self._parser.crc_errors
        # Whoever is late may be on the line still.
        if self._enabled and not self._awaited.any():
            self._rounds.ask()

    def _pump(self, frames: Sequence[BusFrame]) -> None:
        for frame in frames:
            self._packets += self._parser.feed(frame.payload)

    def _stop(self, look: Look) -> None:
        """No goal for it, and a fault, until `enable`."""
        if self._enabled and look.place in self._on:
            self._on.remove(look.place)
            self._address_goals()
        if self._enabled:
            self._counters.faults[self._axes.places[look.place]] = look.fault

    def _readings(self, packet: Packet) -> list[Reading]:
        if packet.instruction != Instruction.STATUS:
            return []
        try:
            if packet.servo == dynamixel.BROADCAST:
                return dynamixel.split_fast_status(packet, table.PRESENT_BYTES)
            return [dynamixel.split_status(packet)]
        except ValueError:
            # A valid packet that answers something else, from before or from another host.
            return []

    def _take(self, reading: Reading, state: JointState, now_ns: int) -> None:
        place = self._place.get(reading.servo)
        if place is None or len(reading.values) != table.PRESENT_BYTES:
            return
        joint = self._axes.places[place]
        if reading.error & dynamixel.ALERT:
            self._counters.faults[joint] |= dynamixel.ALERT
            self._rounds.suspect(place)
        if reading.error & ~dynamixel.ALERT:
            return
        current, velocity, count = table.decode_present(reading.values)
        motor = self._servos[place].motor
        at_motor = (
            table.position_from_count(count, motor.counts_per_turn),
            velocity * motor.velocity_unit,
            current * self._torque_units[place],
        )
        self._axes.store(state, place, at_motor, now_ns)
        self._awaited[place] = False
        self._counters.received[joint] += 1

    def write(self, command: JointCommand) -> int:
        """Goals and a request for states. Servos that are off are only asked, and kept off."""
        self._counters.missing[self._axes.index] += self._awaited
        self._rounds.doubt(self._awaited)
        self._awaited[:] = True
        while not self._packets and self._clock.now_ns() < self._rounds.quiet_ns:
            self._pump(self._bus.receive_until(self._rounds.quiet_ns))
        self._notice_silence()
        if command.rung >= Rung.DAMP:
            self._enabled = False
        if not self._enabled:
            # Asking feeds the watchdog, so a servo that should be off is told so every time.
            self._bus.send([BusFrame(0, self._torque_off + self._request)])
            return 0
        positions = self._axes.motor_positions(command.position)
        counts = table.counts_from_positions(positions, self._turns).tolist()
        if len(self._on) < len(counts):
            counts = [counts[place] for place in self._on]
        self._bus.send([BusFrame(0, self._goal_packet(counts) + self._request)])
        self._counters.sent[self._goal_index] += 1
        return len(counts)

    def _notice_silence(self) -> None:
        now_ns = self._clock.now_ns()
        silent_ns = now_ns - self._written_ns
        self._written_ns = now_ns
        if self._enabled and self._silence_ns is not None and silent_ns > self._silence_ns:
            # A tripped servo ignores goals without a word; a poll would keep it alive like that.
            self._enabled = False
            self._counters.faults[self._axes.index] = TRIPPED

    def _address_goals(self) -> None:
        """To the servos that are on."""
        self._goals = struct.Struct("<HH" + "Bi" * len(self._on))
        ids = [self._ids[place] for place in self._on]
        self._fields = [table.GOAL_POSITION, 4, *(x for i in ids for x in (i, 0))]
        self._goal_index = self._axes.index[self._on]

    def _goal_packet(self, counts: Sequence[int]) -> bytes:
        self._fields[3::2] = counts
        return dynamixel.encode(
            dynamixel.BROADCAST, Instruction.SYNC_WRITE, self._goals.pack(*self._fields)
        )


def _looks(servos: Sequence[Servo]) -> list[Look]:
    """Torque enable of every servo, and its watchdog. Their answers differ in length."""
    span = table.HARDWARE_ERROR + 1 - table.TORQUE_ENABLE
    looks = []
    for place, servo in enumerate(servos):
        motor = servo.motor
        question = dynamixel.read(motor.id, table.TORQUE_ENABLE, span)
        looks.append(Look(place, motor.id, question, span, ((0, b"\1"),)))
    for place, servo in enumerate(servos):
        motor = servo.motor
        steps = bytes((table.watchdog_register(motor.watchdog_ms),))
        question = dynamixel.read(motor.id, table.BUS_WATCHDOG, 1)
        looks.append(Look(place, motor.id, question, 1, ((0, steps),), TRIPPED))
    return looks
