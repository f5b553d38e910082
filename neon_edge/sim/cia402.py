"""An emulated CiA 402 drive: object dictionary, state machine, PDOs on SYNC, heartbeat consumer."""

from __future__ import annotations

import math

from neon_edge.config import Cia402Motor
from neon_edge.sim.dynamics import Drive, Dynamics
from neon_edge.sim.motor import EmulatedMotor
from neon_edge.transport.protocol import canopen
from neon_edge.transport.protocol.canopen import DriveState, Entry, State
from neon_edge.types import BusFrame

OVERHEATED = 0x4210
NO_SUCH_OBJECT, READ_ONLY, OUT_OF_RANGE, BAD_LENGTH = (
    0x0602_0000,
    0x0601_0002,
    0x0609_0030,
    0x0607_0010,
)
BAD_COMMAND = 0x0504_0001
VOLTAGE_ENABLED = 0x10
QUICK_STOP_OFF = 0x20
REMOTE = 0x200
VENDOR, PRODUCT, REVISION, ENCODER_COUNTS = 0x0ED6E, 0x0402, 0x0001_0002, 65536
IDENTITY = (
    Entry.VENDOR,
    Entry.PRODUCT,
    Entry.REVISION,
    Entry.ENCODER_COUNTS,
    Entry.ENCODER_TURNS,
)
_MAPS = (0x1400, 0x1401, 0x1600, 0x1800, 0x1801, 0x1A00, 0x1A01)


class EmulatedCia402(EmulatedMotor):
    """One drive on a CAN bus, with gains of its own."""

    def __init__(
        self, motor: Cia402Motor, gains: tuple[float, float], dynamics: Dynamics, axis: int
    ) -> None:
        super().__init__(dynamics, axis)
        self.node = motor.id
        self._counts = motor.counts_per_turn / math.tau
        self._rated = motor.rated_torque
        self._gains = gains
        revision = int(motor.firmware, 16) if motor.firmware else REVISION
        self._identity = (VENDOR, PRODUCT, revision, motor.encoder_counts or ENCODER_COUNTS, 1)
        self._effort = float(dynamics.effort[axis])
        self._objects: dict[int, int] = {}
        self.state = State.SWITCH_ON_DISABLED
        self.operational = False
        self.error = 0
        self._beat_ns: int | None = None
        self._pending: list[BusFrame] = []
        self._power_on()

    def _power_on(self) -> None:
        self._objects = {entry: 0 for entry in canopen.SIZES}
        self._objects[Entry.DEVICE_TYPE] = 0x0002_0192
        self._objects[Entry.RATED_TORQUE] = round(self._rated * 1e3)
        self._objects[Entry.MAX_TORQUE] = 1000
        self._objects |= dict(zip(IDENTITY, self._identity, strict=True))
        self._objects[Entry.QUICK_STOP_OPTION] = 2
        self._objects[Entry.TARGET] = self._position()
        for index in _MAPS:
            for sub in range(9):
                self._objects[index << 8 | sub] = 0
        self.state, self.operational, self.error = State.SWITCH_ON_DISABLED, False, 0
        self._beat_ns = None

    def watch(self, now_ns: int) -> None:
        """A heartbeat that stays away is an emergency, and stops the drive as 6007 says."""
        limit_ns = (self._objects[Entry.CONSUMER_HEARTBEAT] & 0xFFFF) * 1_000_000
        if not limit_ns or self._beat_ns is None or now_ns - self._beat_ns <= limit_ns:
            return
        self._beat_ns = None
        self._pending.append(canopen.emergency(self.node, canopen.HEARTBEAT_LOST))
        match self._objects[Entry.ABORT_OPTION]:
            case 1:
                self._fault(canopen.HEARTBEAT_LOST)
            case 2:
                self._off()
            case 3 if self.state == State.ENABLED:
                self._quick_stop()
            case _:
                pass

    def restart(self) -> None:
        """A restart: pre-operational, volatile objects back to their defaults."""
        self._power_on()
        self.release()
        self._pending.append(canopen.heartbeat(self.node, canopen.BOOT_UP))

    def overheat(self, hot: bool) -> None:
        """A fault that a reset clears once it is cool."""
        self.hot = hot
        if hot:
            self._pending.append(canopen.emergency(self.node, OVERHEATED))
            self._fault(OVERHEATED)

    def _fault(self, error: int) -> None:
        self.error = error
        self.state = State.FAULT
        self.release()

    def _off(self) -> None:
        if self.state != State.FAULT:
            self.state = State.SWITCH_ON_DISABLED
        self.release()

    def _quick_stop(self) -> None:
        # Options 1 to 4 end switched off, 5 to 8 stay in the state; either way without torque here.
        stays = self._objects[Entry.QUICK_STOP_OPTION] >= 5
        self.state = State.QUICK_STOP if stays else State.SWITCH_ON_DISABLED
        self.release()

    def speak(self, now_ns: int) -> list[BusFrame]:
        """Emergencies and boot-up."""
        self.watch(now_ns)
        said, self._pending = self._pending, []
        return said

    def answer(self, frame: BusFrame, now_ns: int) -> list[BusFrame]:
        """NMT, SYNC, heartbeats, PDOs and SDOs."""
        self.dynamics.advance(now_ns)
        said = self.speak(now_ns)
        if frame.extended or frame.remote:
            return said
        where, payload = frame.arbitration_id, frame.payload
        if where == canopen.NMT and len(payload) == 2 and payload[1] in (0, self.node):
            self._manage(payload[0])
        elif where == canopen.SYNC and self.operational and not payload:
            said += self._answer_sync()
        elif where == self._watched and len(payload) == 1:
            self._beat_ns = now_ns
        elif where == canopen.COMMAND_PDO + self.node and self.operational and len(payload) == 8:
            self._command(*canopen.decode_command(payload))
        elif where == canopen.TO_DRIVE + self.node and len(payload) == 8:
            said.append(self._answer_sdo(payload))
        return said

    @property
    def _watched(self) -> int:
        """Whose heartbeat it listens for."""
        return canopen.HEARTBEAT + (self._objects[Entry.CONSUMER_HEARTBEAT] >> 16 & 0x7F)

    def _manage(self, command: int) -> None:
        if command == canopen.RESET:
            self.restart()
        elif command in (canopen.START, canopen.STOP, canopen.PRE_OPERATIONAL):
            self.operational = command == canopen.START
            if not self.operational:
                self._off()

    def _command(self, control: int, target: int, torque: int) -> None:
        self._objects[Entry.TARGET] = target
        self._objects[Entry.TORQUE_OFFSET] = torque
        self.commands_received += control & 0x0F == canopen.ENABLE
        self._control(control)

    def _control(self, control: int) -> None:
        reset = control & canopen.FAULT_RESET
        rising = reset and not self._objects[Entry.CONTROL] & canopen.FAULT_RESET
        self._objects[Entry.CONTROL] = control
        if self.state == State.FAULT:
            if rising and not self.hot:
                self.error = 0
                self.state = State.SWITCH_ON_DISABLED
            return
        self._transition(control)
        if self.state == State.ENABLED:
            self._drive()

    def _transition(self, control: int) -> None:
        if not control & 0x02:
            self._off()
        elif not control & 0x04:
            if self.state == State.ENABLED:
                self._quick_stop()
            elif self.state != State.QUICK_STOP:
                self._off()
        elif control & 0x0F == canopen.ENABLE and self.state == State.SWITCHED_ON:
            if self._objects[Entry.MODE] == canopen.CYCLIC_POSITION:
                self.state = State.ENABLED
        elif control & 0x07 == canopen.SWITCH_ON:
            if self.state == State.READY_TO_SWITCH_ON:
                self.state = State.SWITCHED_ON
            elif self.state == State.ENABLED and not control & 0x08:
                self.state = State.SWITCHED_ON
                self.release()
        elif control & 0x07 == canopen.SHUTDOWN and self.state != State.QUICK_STOP:
            self.state = State.READY_TO_SWITCH_ON
            self.release()

    def _drive(self) -> None:
        limit = self._objects[Entry.MAX_TORQUE] / 1e3 * self._rated
        self.dynamics.effort[self.axis] = min(limit, self._effort)
        torque = self._objects[Entry.TORQUE_OFFSET] / 1e3 * self._rated
        goal = self._objects[Entry.TARGET] / self._counts
        self.pull(Drive(goal, 0.0, *self._gains, torque))

    def _answer_sync(self) -> list[BusFrame]:
        if self._objects[0x1800 << 8 | 1] != canopen.STATE_PDO + self.node:
            return []
        torque = round(max(-32768.0, min(32767.0, self.torque / self._rated * 1e3)))
        drive = DriveState(self._status(), self._position(), torque)
        speed = round(self.velocity * self._counts).to_bytes(4, "little", signed=True)
        return [
            canopen.state(self.node, drive),
            BusFrame(canopen.SPEED_PDO + self.node, speed),
        ]

    def _status(self) -> int:
        status = self.state | REMOTE | VOLTAGE_ENABLED
        if self.state in (State.FAULT, State.SWITCH_ON_DISABLED):
            status |= QUICK_STOP_OFF
        return status

    def _position(self) -> int:
        return round(self.position * self._counts)

    def _answer_sdo(self, payload: bytes) -> BusFrame:
        sdo = canopen.split_sdo(payload)
        entry, size = sdo.entry, self._size(sdo.entry)
        if entry not in self._objects:
            return canopen.aborted(self.node, entry, NO_SUCH_OBJECT)
        if sdo.command == 0x40:
            return canopen.uploaded(self.node, entry, self._get(entry), abs(size))
        if sdo.command & 0xE2 != 0x22:
            return canopen.aborted(self.node, entry, BAD_COMMAND)
        if sdo.command & 1 and canopen.sdo_size(sdo.command) != abs(size):
            return canopen.aborted(self.node, entry, BAD_LENGTH)
        value = int.from_bytes(sdo.value[: abs(size)], "little", signed=size < 0)
        refusal = self._set(entry, value)
        if refusal:
            return canopen.aborted(self.node, entry, refusal)
        return canopen.downloaded(self.node, entry)

    def _size(self, entry: int) -> int:
        known = canopen.SIZES.get(entry)  # type: ignore[call-overload]
        if known is not None:
            return int(known)
        # Mapping objects: a count or a transmission type in one byte, all else in four.
        parameter = 0x1400 <= entry >> 8 < 0x1600 or 0x1800 <= entry >> 8 < 0x1A00
        return 1 if entry & 0xFF == 0 or (parameter and entry & 0xFF == 2) else 4

    def _get(self, entry: int) -> int:
        match entry:
            case Entry.STATUS:
                return self._status()
            case Entry.POSITION:
                return self._position()
            case Entry.VELOCITY:
                return round(self.velocity * self._counts)
            case Entry.TORQUE:
                return round(self.torque / self._rated * 1e3)
            case Entry.MODE_DISPLAY:
                return self._objects[Entry.MODE]
            case _:
                return self._objects[entry]

    def _set(self, entry: int, value: int) -> int:
        if entry in (Entry.DEVICE_TYPE, Entry.STATUS, Entry.POSITION, Entry.VELOCITY, Entry.TORQUE):
            return READ_ONLY
        if entry in (Entry.RATED_TORQUE, Entry.MODE_DISPLAY, *IDENTITY):
            return READ_ONLY
        if entry == Entry.ABORT_OPTION and not 0 <= value <= 3:
            return OUT_OF_RANGE
        if entry == Entry.CONTROL:
            self._control(value)
            return 0
        self._objects[entry] = value
        return 0
