"""An emulated Dynamixel X servo: control table, torque enable, a bus watchdog that latches."""

from __future__ import annotations

import math

from neon_edge.config import DynamixelMotor, Joint
from neon_edge.sim.dynamics import Drive, Dynamics
from neon_edge.sim.motor import EmulatedMotor
from neon_edge.transport.protocol import dynamixel_table as table
from neon_edge.transport.protocol.dynamixel import ALERT, Failure

FIRMWARE = 45
FACTORY_RETURN_DELAY = 250
CURRENT_LIMIT_COUNTS = 1193
STEP_NS = table.WATCHDOG_STEP_MS * 1_000_000
READ_ONLY = frozenset(
    {*range(table.ID), *range(table.HARDWARE_ERROR, table.HARDWARE_ERROR + 1), *range(120, 147)}
)
GOALS = range(100, 120)
CEILINGS = {table.GOAL_CURRENT: table.CURRENT_LIMIT, table.GOAL_PWM: table.PWM_LIMIT}
OVERHEATED = 0x04
"""The bit of the hardware error status."""


class EmulatedDynamixel(EmulatedMotor):
    """One servo: what its control table holds and how writing it moves the joint."""

    def __init__(self, joint: Joint, motor: DynamixelMotor, dynamics: Dynamics, axis: int) -> None:
        super().__init__(dynamics, axis)
        self.id = motor.id
        self._motor = motor
        self._gains = (joint.kp, joint.kd)
        self._effort = float(dynamics.effort[axis])
        self._table = bytearray(table.TABLE_BYTES)
        self._fed_ns = 0
        self._put(table.MODEL_NUMBER, motor.model, 2)
        self._put(table.FIRMWARE, int(motor.firmware or FIRMWARE), 1)
        self._table[table.DRIVE_MODE] = motor.drive_mode
        self._put(table.HOMING_OFFSET, motor.homing_offset, 4)
        self._put(table.ID, motor.id, 1)
        self._put(table.RETURN_DELAY, FACTORY_RETURN_DELAY, 1)
        self._put(table.OPERATING_MODE, 3, 1)
        if motor.torque_by == "current":
            self._put(table.CURRENT_LIMIT, CURRENT_LIMIT_COUNTS, 2)
        self._put(table.PWM_LIMIT, table.PWM_COUNTS, 2)
        self._put(table.GOAL_PWM, table.PWM_COUNTS, 2)
        self._put(table.POSITION_LIMITS, motor.counts_per_turn - 1, 4)
        self._put(table.STATUS_RETURN, table.REPLY_ALWAYS, 1)
        self._put(table.GOAL_CURRENT, CURRENT_LIMIT_COUNTS, 2)
        self._put(table.GOAL_POSITION, self._present_count(), 4)

    @property
    def return_delay_ns(self) -> int:
        """Silence that the servo keeps before it answers."""
        return self._table[table.RETURN_DELAY] * table.RETURN_DELAY_UNIT_NS

    @property
    def replies_to_writes(self) -> bool:
        """Status Return Level 2."""
        return self._table[table.STATUS_RETURN] == table.REPLY_ALWAYS

    @property
    def tripped(self) -> bool:
        """Whether the bus watchdog has stopped this servo."""
        return self._table[table.BUS_WATCHDOG] == table.WATCHDOG_TRIPPED

    def hear(self, now_ns: int) -> None:
        """An instruction packet passed on the bus: any of them feeds every servo's watchdog."""
        self.watch(now_ns)
        self._fed_ns = now_ns

    def watch(self, now_ns: int) -> None:
        """Trip the bus watchdog if it is armed and the bus has been silent."""
        steps = self._table[table.BUS_WATCHDOG]
        if steps in (0, table.WATCHDOG_TRIPPED) or now_ns - self._fed_ns <= steps * STEP_NS:
            return
        self._table[table.BUS_WATCHDOG] = table.WATCHDOG_TRIPPED
        self._put(table.GOAL_POSITION, self._present_count(), 4)
        self._drive()

    def read(self, address: int, length: int) -> tuple[int, bytes]:
        """Error and bytes of a part of the control table."""
        if not 0 <= address <= address + length <= len(self._table):
            return Failure.LENGTH, b""
        self._measure()
        return Failure.NONE, bytes(self._table[address : address + length])

    def write(self, address: int, values: bytes) -> int:
        """Put bytes into the control table, if the servo would. Gives the error byte."""
        failure = self._refusal(address, values)
        if failure:
            return failure
        if address == table.GOAL_POSITION:
            self.commands_received += 1
        self._table[address : address + len(values)] = values
        # Torque on goes to whatever goal stands in the table: whoever enables must set it first.
        self._drive()
        return Failure.NONE

    def reboot(self) -> None:
        """Back to what power-on gives: RAM cleared, torque off."""
        kept = self._table[: table.EEPROM_END]
        self._table[:] = kept.ljust(table.TABLE_BYTES, b"\0")
        self._put(table.STATUS_RETURN, table.REPLY_ALWAYS, 1)
        self._put(table.GOAL_CURRENT, CURRENT_LIMIT_COUNTS, 2)
        self._put(table.GOAL_PWM, table.PWM_COUNTS, 2)
        self._put(table.GOAL_POSITION, self._present_count(), 4)
        self._drive()

    def restart(self) -> None:
        """What a reboot does; goals and torque are gone."""
        self.reboot()

    def overheat(self, hot: bool) -> None:
        """The hardware error shuts the torque off; only a reboot clears it."""
        self.hot = hot
        if hot:
            self._table[table.HARDWARE_ERROR] = OVERHEATED
            self._table[table.TORQUE_ENABLE] = 0
            self._drive()

    @property
    def alert(self) -> int:
        """Bit 7 of every status packet: the hardware error is set."""
        return ALERT if self._table[table.HARDWARE_ERROR] else 0

    def _refusal(self, address: int, values: bytes) -> int:
        touched = range(address, address + len(values))
        if not values or address + len(values) > len(self._table):
            return Failure.LENGTH
        if not READ_ONLY.isdisjoint(touched):
            return Failure.ACCESS
        if address < table.EEPROM_END and self._table[table.TORQUE_ENABLE]:
            return Failure.ACCESS
        if address == table.TORQUE_ENABLE and self._table[table.HARDWARE_ERROR]:
            return Failure.ACCESS
        if self.tripped and any(place in GOALS for place in touched):
            return Failure.RANGE
        return self._out_of_range(address, values)

    def _out_of_range(self, address: int, values: bytes) -> int:
        number = int.from_bytes(values, "little", signed=True)
        failure: int = Failure.NONE
        if address == table.GOAL_POSITION:
            top, bottom = (
                self._get(table.POSITION_LIMITS, 4),
                self._get(table.POSITION_LIMITS + 4, 4),
            )
            fits = len(values) == 4 and bottom <= number <= top
            failure = Failure.NONE if fits else Failure.LIMIT
        elif address in CEILINGS and abs(number) > self._get(CEILINGS[address], 2):
            failure = Failure.LIMIT
        elif (
            (address == table.OPERATING_MODE and self._cannot(number))
            or (address == table.TORQUE_ENABLE and values[0] > 1)
            or (address == table.BUS_WATCHDOG and values[0] > 127)
        ):
            failure = Failure.RANGE
        return failure

    def _cannot(self, mode: int) -> bool:
        return mode == table.CURRENT_BASED_POSITION and self._motor.torque_by != "current"

    def _drive(self) -> None:
        if not self._table[table.TORQUE_ENABLE]:
            self.release()
            return
        limit = self._effort
        if self._table[table.OPERATING_MODE] == table.CURRENT_BASED_POSITION:
            counts = abs(self._get(table.GOAL_CURRENT, 2))
            limit = min(limit, counts * self._motor.torque_per_count)
        elif self._motor.torque_by == "pwm":
            counts = abs(self._get(table.GOAL_PWM, 2))
            limit = min(limit, counts * self._motor.torque_per_count)
        self.dynamics.effort[self.axis] = limit
        goal = table.position_from_count(
            self._get(table.GOAL_POSITION, 4), self._motor.counts_per_turn
        )
        kp, kd = self._gains
        self.pull(Drive(goal, kp=kp, kd=kd))

    def _measure(self) -> None:
        motor = self._motor
        unit = motor.torque_per_count
        if motor.torque_by == "pwm":
            unit /= table.LOAD_PER_PWM
        present = table.encode_present(
            round(max(-32768.0, min(32767.0, self.torque / unit))),
            round(self.velocity / motor.velocity_unit),
            self._present_count(),
        )
        self._table[table.PRESENT : table.PRESENT + table.PRESENT_BYTES] = present

    def _present_count(self) -> int:
        turn = self._motor.counts_per_turn
        return round(self.position * turn / math.tau + turn / 2)

    def _put(self, address: int, number: int, width: int) -> None:
        self._table[address : address + width] = number.to_bytes(width, "little", signed=number < 0)

    def _get(self, address: int, width: int) -> int:
        return int.from_bytes(self._table[address : address + width], "little", signed=True)
