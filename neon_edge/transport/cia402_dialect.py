"""CiA 402 drives for `CanChain`: a command PDO each, a heartbeat and SYNC out; two PDOs back.

The drives hold position with their own gains, within the robot file's effort. Our heartbeat is what
they watch: when it stops they stop quickly and switch off (objects 6007 and 605A). DAMP is that
quick stop; OFF takes the voltage off. Set-up is by SDO, never used in the tick.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from neon_edge.config import Cia402Motor
from neon_edge.transport.can_chain import UNKNOWN_FAULT
from neon_edge.transport.exchange import CanExchange
from neon_edge.transport.identity import identify_cia402
from neon_edge.transport.protocol import canopen
from neon_edge.transport.protocol.canopen import Entry, Sdo, State
from neon_edge.types import BusFrame, Float64

STEPS = 10
STEP_NS = 20_000_000
QUICK_STOP_THEN_OFF, ABORT_BY_QUICK_STOP = 2, 3
EVERY_SYNC = 1
_DISABLED = 0x8000_0000
_PULLING = (State.ENABLED, State.QUICK_STOP, State.NOT_READY)


class Cia402Dialect:
    """The CiA 402 drives of one bus."""

    resumes_from_damp = False
    wakes = False

    def __init__(
        self, exchange: CanExchange, motors: Sequence[Cia402Motor], rate_hz: float
    ) -> None:
        self._exchange = exchange
        self._motors = motors
        self._period_ms = round(1e3 / rate_hz)
        self._ids = [motor.id for motor in motors]
        self._place = {motor.id: k for k, motor in enumerate(motors)}
        self._counts = [motor.counts_per_turn / math.tau for motor in motors]
        self._thousandths = [1e3 / motor.rated_torque for motor in motors]
        n = len(motors)
        free = np.full(n, np.inf)
        reach = canopen.POSITION_MAX / np.array(self._counts)
        self.limits = np.stack([reach, free, free, free, 32767 / np.array(self._thousandths)])
        self.measured = [(0.0, 0.0, 0.0)] * n
        self.faults = [0] * n
        self.running = [True] * n
        self.query: Sequence[BusFrame | None] = [None] * n
        self._states = [State.NOT_READY] * n
        self._errors = [0] * n
        self._partly = [(0.0, 0.0)] * n
        self._preoperational = [canopen.nmt(canopen.PRE_OPERATIONAL, i) for i in self._ids]
        self._sync = [canopen.heartbeat(canopen.HOST), BusFrame(canopen.SYNC, b"")]

    def set_up(self) -> None:
        """Every drive is a CiA 402 drive of the stated torque; mode, PDOs and heartbeat set."""
        self._exchange.bus.send(self._preoperational)
        for place, kind in enumerate(self._get(Entry.DEVICE_TYPE, 4)):
            self._exchange.compare(place, "device profile", 402, kind & 0xFFFF)
        for place, rated in enumerate(self._get(Entry.RATED_TORQUE, 4)):
            stated = self._motors[place].rated_torque
            self._exchange.compare(place, "rated torque (N·m)", stated, rated / 1e3)
        identify_cia402(self._exchange, self._motors)
        self._guard()

    def _guard(self) -> None:
        """What a drive that lost its power has forgotten, written, read back, and started."""
        for entry, size, value in (
            (Entry.CONTROL, 2, canopen.DISABLE_VOLTAGE),
            (Entry.MODE, 1, canopen.CYCLIC_POSITION),
            (Entry.INTERPOLATION, 1, self._period_ms),
            (Entry.INTERPOLATION_EXPONENT, 1, -3),
            (Entry.ABORT_OPTION, 2, ABORT_BY_QUICK_STOP),
            (Entry.QUICK_STOP_OPTION, 2, QUICK_STOP_THEN_OFF),
        ):
            self._put(entry, [value] * len(self._ids), size)
        efforts = [joint.effort for joint in self._exchange.joints]
        torques = [math.floor(e * t) for e, t in zip(efforts, self._thousandths, strict=True)]
        self._put(Entry.MAX_TORQUE, torques, 2)
        watched = [canopen.HOST << 16 | motor.watchdog_ms for motor in self._motors]
        self._put(Entry.CONSUMER_HEARTBEAT, watched, 4)
        status, position = Entry.STATUS << 8 | 16, Entry.POSITION << 8 | 32
        torque, velocity = Entry.TORQUE << 8 | 16, Entry.VELOCITY << 8 | 32
        control, target = Entry.CONTROL << 8 | 16, Entry.TARGET << 8 | 32
        self._map(0x1400, canopen.COMMAND_PDO, [control, target, Entry.TORQUE_OFFSET << 8 | 16])
        self._map(0x1800, canopen.STATE_PDO, [status, position, torque])
        self._map(0x1801, canopen.SPEED_PDO, [velocity])
        self._exchange.bus.send([canopen.nmt(canopen.START, i) for i in self._ids])

    def _map(self, parameters: int, base: int, mapped: Sequence[int]) -> None:
        """One PDO: switched off, mapped, on every SYNC, switched on again (CiA 301, 7.5.2.36)."""
        cob, kind, mapping = parameters << 8 | 1, parameters << 8 | 2, (parameters + 0x200) << 8
        n = len(self._ids)
        self._put(cob, [_DISABLED | base + i for i in self._ids], 4)
        self._put(kind, [EVERY_SYNC] * n, 1)
        self._put(mapping, [0] * n, 1)
        for place, entry in enumerate(mapped):
            self._put(mapping | place + 1, [entry] * n, 4)
        self._put(mapping, [len(mapped)] * n, 1)
        self._put(cob, [base + i for i in self._ids], 4)

    def lull(self) -> int:
        """One heartbeat makes the drives listen for the next."""
        self._errors = [0] * len(self._ids)
        self._exchange.bus.send(self._sync)
        return max(motor.watchdog_ms for motor in self._motors) * 1_000_000

    def check_tripped(self) -> None:
        """Every watching drive must have sent the emergency of a lost heartbeat."""
        for frame in self._exchange.bus.receive_ready():
            self.hear(frame)
        for place, motor in enumerate(self._motors):
            if motor.watchdog_ms and self._errors[place] != canopen.HEARTBEAT_LOST:
                raise self._exchange.refuses(
                    place,
                    f"emergency {self._errors[place]:#06x} after {motor.watchdog_ms} ms without a "
                    "heartbeat: it does not watch for ours",
                )

    def positions(self) -> list[float]:
        """Asked for now, by SDO."""
        found = self._get(Entry.POSITION, 4)
        positions = [
            int.from_bytes(count.to_bytes(4, "little"), "little", signed=True) / counts
            for count, counts in zip(found, self._counts, strict=True)
        ]
        self.measured = [(q, v, t) for q, (_, v, t) in zip(positions, self.measured, strict=True)]
        return positions

    def prepare(self) -> None:
        """Set up afresh, faults reset; voltage off."""
        self._exchange.bus.send(self._preoperational)
        self._guard()
        self._walk(canopen.DISABLE_VOLTAGE, None)
        self._walk(canopen.FAULT_RESET, None)
        self._walk(canopen.DISABLE_VOLTAGE, State.SWITCH_ON_DISABLED)
        self._errors = [0] * len(self._ids)

    def enable(self, rows: Float64) -> None:
        """Through the states, the target where the drive stands."""
        self._walk(canopen.SHUTDOWN, State.READY_TO_SWITCH_ON)
        self._walk(canopen.SWITCH_ON, State.SWITCHED_ON)
        self._exchange.bus.send(self.commands(rows))
        self._wait_for(State.ENABLED)

    def disable(self) -> None:
        """Voltage off, as every drive must say."""
        on = list(range(len(self._ids)))
        for _ in range(STEPS):
            # An answer to the last tick may still be on its way, and it tells of a drive enabled.
            self._exchange.bus.send(self.off())
            self._one_answer()
            on = [k for k, state in enumerate(self._states) if state in _PULLING]
            if not on:
                return
        raise self._exchange.refuses(on[0], self._states[on[0]].name.lower())

    def commands(self, rows: Float64) -> list[BusFrame]:
        """A target a drive, then our heartbeat and SYNC, which they answer."""
        return self._targets(canopen.ENABLE, rows[0].tolist(), rows[4].tolist())

    def damp(self, rows: Float64) -> list[BusFrame]:
        """Quick stop, target where the drive stands."""
        return self._targets(canopen.QUICK_STOP, rows[0].tolist(), rows[4].tolist())

    def ask(self) -> list[BusFrame]:
        """Heartbeat and SYNC."""
        return self._sync

    def off(self) -> list[BusFrame]:
        """Voltage off, target where the drive stands."""
        return self._here(canopen.DISABLE_VOLTAGE)

    def decode(self) -> None:
        """Nothing is left to do: `hear` has decoded."""

    def hear(self, frame: BusFrame) -> int:
        """The speed PDO, which comes last, makes a state whole."""
        base, place = frame.arbitration_id & 0x780, self._place.get(frame.arbitration_id & 0x7F, -1)
        if place < 0 or frame.remote or frame.extended:
            return -1
        if base == canopen.STATE_PDO and len(frame.payload) == 8:
            drive = canopen.decode_state(frame.payload)
            self._states[place] = state = canopen.state_of(drive.status)
            self._partly[place] = (
                drive.position / self._counts[place],
                drive.torque / self._thousandths[place],
            )
            self.running[place] = well = state == State.ENABLED
            self.faults[place] = 0 if well else self._errors[place] >> 8 or UNKNOWN_FAULT
        elif base == canopen.SPEED_PDO and len(frame.payload) == 4:
            speed = int.from_bytes(frame.payload, "little", signed=True) / self._counts[place]
            position, torque = self._partly[place]
            self.measured[place] = (position, speed, torque)
            return place
        elif base == canopen.EMERGENCY and len(frame.payload) == 8:
            self._errors[place] = canopen.decode_emergency(frame.payload)
        elif base == canopen.HEARTBEAT and frame.payload == bytes((canopen.BOOT_UP,)):
            # It has started again, and is silent until it is set up and started.
            self.running[place], self.faults[place] = False, UNKNOWN_FAULT
        return -1

    def _targets(
        self, control: int, positions: Sequence[float], torques: Sequence[float]
    ) -> list[BusFrame]:
        targets = [
            canopen.command(i, control, round(q * counts), round(torque * thousandths))
            for i, q, torque, counts, thousandths in zip(
                self._ids, positions, torques, self._counts, self._thousandths, strict=True
            )
        ]
        return targets + self._sync

    def _here(self, control: int) -> list[BusFrame]:
        stands = [measured[0] for measured in self.measured]
        return self._targets(control, stands, [0.0] * len(stands))

    def _walk(self, control: int, wanted: State | None) -> None:
        self._exchange.bus.send(self._here(control))
        self._wait_for(wanted)

    def _wait_for(self, wanted: State | None) -> None:
        """A few SYNCs until every drive is there; None waits for one answer and judges nothing."""
        for _ in range(STEPS):
            everyone = self._one_answer()
            if wanted is None and everyone:
                return
            if wanted is not None and all(state == wanted for state in self._states):
                return
            self._exchange.bus.send(self._sync)
        if wanted is None:
            return
        place = next(k for k, state in enumerate(self._states) if state != wanted)
        raise self._exchange.refuses(
            place,
            f"{self._states[place].name.lower()}, emergency {self._errors[place]:#06x}, instead "
            f"of {wanted.name.lower()}",
        )

    def _one_answer(self) -> bool:
        """Listen until every drive has answered a SYNC, or a step is over."""
        clock, bus = self._exchange.clock, self._exchange.bus
        deadline_ns = clock.now_ns() + STEP_NS
        silent = set(range(len(self._ids)))
        while silent and clock.now_ns() < deadline_ns:
            silent -= {self.hear(frame) for frame in bus.receive_until(deadline_ns)}
        return not silent

    def _get(self, entry: int, size: int) -> list[int]:
        answers = self._exchange.ask(
            [canopen.upload(i, entry) for i in self._ids], self._answer(entry)
        )
        for place, answer in enumerate(answers):
            self._check(place, entry, answer)
        return [int.from_bytes(answer.value[:size], "little") for answer in answers]

    def _put(self, entry: int, values: Sequence[int], size: int) -> None:
        """Set an object of every drive and read it back."""
        pairs = zip(self._ids, values, strict=True)
        frames = [canopen.download(i, entry, value, size) for i, value in pairs]
        for place, answer in enumerate(self._exchange.ask(frames, self._answer(entry))):
            self._check(place, entry, answer)
        for place, found in enumerate(self._get(entry, size)):
            wanted = values[place] % (1 << 8 * size)
            self._exchange.compare(place, f"object {_named(entry)}", wanted, found)

    def _answer(self, entry: int) -> Callable[[int, BusFrame], Sdo | None]:
        def answer(place: int, frame: BusFrame) -> Sdo | None:
            sender = canopen.FROM_DRIVE + self._ids[place]
            if frame.arbitration_id != sender or len(frame.payload) != canopen.SDO_BYTES:
                return None
            sdo = canopen.split_sdo(frame.payload)
            return sdo if sdo.entry == entry else None

        return answer

    def _check(self, place: int, entry: int, answer: Sdo) -> None:
        if answer.command == 0x80:
            code = int.from_bytes(answer.value, "little")
            raise self._exchange.refuses(place, f"SDO abort {code:#010x} for {_named(entry)}")


def _named(entry: int) -> str:
    return f"{entry >> 8:04X}:{entry & 0xFF:02X}"
