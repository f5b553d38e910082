"""moteus controllers for `CanChain`: one 32-byte position command out, one state back.

The joint's kp and kd are shares of the controller's own, which are read back over its console. The
watchdog travels with every command. DAMP is a command with kp 0, no torque and no velocity; OFF is
mode STOPPED.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from neon_edge.config import MoteusMotor
from neon_edge.transport.can_chain import UNKNOWN_FAULT
from neon_edge.transport.exchange import TRIES, CanExchange
from neon_edge.transport.identity import identify_moteus
from neon_edge.transport.protocol import moteus
from neon_edge.transport.protocol.moteus import Mode, Parsed, Register
from neon_edge.types import BusFrame, Float64

CONSOLE_TRIES = 20
MEASURABLE = 1e9
HIGHEST_MODE = 0xFF
_STATE = (Register.POSITION, Register.VELOCITY, Register.TORQUE)


class MoteusDialect:
    """The moteus controllers of one CAN FD bus."""

    resumes_from_damp = True
    wakes = True

    def __init__(self, exchange: CanExchange, motors: Sequence[MoteusMotor]) -> None:
        self._exchange = exchange
        self._motors = motors
        self._ids = [motor.id for motor in motors]
        self._place = {motor.id << 8: k for k, motor in enumerate(motors)}
        n = len(motors)
        self.limits = np.stack(
            [
                np.full(n, moteus.POSITION_MAX),
                np.full(n, moteus.VELOCITY_MAX),
                np.array([motor.kp_max for motor in motors]),
                np.array([motor.kd_max for motor in motors]),
                np.full(n, moteus.TORQUE_MAX),
            ]
        )
        # The file's own gain must not exceed a whole share by its rounding to float32.
        self._shares = self.limits[2:4]
        self._efforts = [joint.effort for joint in exchange.joints]
        self.measured = [(0.0, 0.0, 0.0)] * n
        self.faults = [0] * n
        self.running = [True] * n
        self._query = [moteus.query(i) for i in self._ids]
        self.query: Sequence[BusFrame | None] = self._query
        self._stop = [moteus.set_mode(i, Mode.STOPPED) for i in self._ids]

    def set_up(self) -> None:
        """Every controller answers, stopped, with the gains that the robot file says."""
        self.disable()
        identify_moteus(self._exchange, self._motors)
        for place, motor in enumerate(self._motors):
            for key, stated in (("kp", motor.kp_max), ("kd", motor.kd_max)):
                found = self._configured(place, f"servo.pid_position.{key}") / math.tau
                self._exchange.compare(place, f"configured {key}", stated, found)

    def lull(self) -> int:
        """A command without gains or torque, then nothing."""
        self._states(self._commands(np.zeros((5, len(self._ids))), limp=True), tries=1)
        return max(motor.watchdog_ms for motor in self._motors) * 1_000_000

    def check_tripped(self) -> None:
        """Every controller must have timed out."""
        for place, parsed in enumerate(self._states(self._query)):
            if parsed.values[Register.MODE] != Mode.TIMEOUT:
                raise self._exchange.refuses(
                    place, f"{_named(parsed)} after its time-out: its watchdog is dead"
                )
        self.disable()

    def positions(self) -> list[float]:
        """Asked for now, without commanding anything."""
        return [p.values[Register.POSITION] * math.tau for p in self._states(self._query)]

    def prepare(self) -> None:
        """Stopped: clears faults and time-outs."""
        self.disable()

    def enable(self, rows: Float64) -> None:
        """A position command is what switches a moteus on."""
        for place, parsed in enumerate(self._states(self.commands(rows), tries=1)):
            if parsed.values[Register.MODE] != Mode.POSITION:
                raise self._exchange.refuses(place, _named(parsed))

    def disable(self) -> None:
        """Stopped, as every controller must say."""
        self._states(self._stop)
        for place, parsed in enumerate(self._states(self._query)):
            if parsed.values[Register.MODE] != Mode.STOPPED:
                raise self._exchange.refuses(place, _named(parsed))

    def commands(self, rows: Float64) -> list[BusFrame]:
        """One frame a motor, which it answers with its state."""
        return self._commands(rows)

    def _commands(self, rows: Float64, *, limp: bool = False) -> list[BusFrame]:
        shares = np.minimum(rows[2:4] / self._shares, 1.0)
        return [
            moteus.command(
                i,
                (q, v, torque),
                (kp, kd),
                0.0 if limp else effort,
                motor.watchdog_ms / 1e3,
            )
            for i, motor, effort, (q, v, _, _, torque), (kp, kd) in zip(
                self._ids,
                self._motors,
                self._efforts,
                rows.T.tolist(),
                shares.T.tolist(),
                strict=True,
            )
        ]

    def damp(self, rows: Float64) -> list[BusFrame]:
        """Rows whose kp, velocity and torque are 0 already."""
        return self._commands(rows)

    def ask(self) -> list[BusFrame]:
        """A query a motor."""
        return self._query

    def off(self) -> list[BusFrame]:
        """Mode STOPPED, and a query in the same frame."""
        return self._stop

    def decode(self) -> None:
        """Nothing is left to do: `hear` has decoded."""

    def hear(self, frame: BusFrame) -> int:
        """A reply to a query is a whole state."""
        place = self._place.get(frame.arbitration_id, -1)
        if place < 0 or frame.remote:
            return -1
        parsed = _parsed(frame)
        return place if parsed is not None and self._take(place, parsed) else -1

    def _take(self, place: int, parsed: Parsed) -> bool:
        values = parsed.values
        if Register.MODE not in values or any(register not in values for register in _STATE):
            return False
        turns, speed, torque = (values[register] for register in _STATE)
        # NaN: the controller itself does not know. Anything huge is no measurement either.
        if not all(abs(value) <= MEASURABLE for value in (turns, speed, torque)):
            return False
        if not 0 <= values[Register.MODE] <= HIGHEST_MODE:
            return False
        self.measured[place] = (turns * math.tau, speed * math.tau, torque)
        mode = int(values[Register.MODE])
        self.running[place] = mode == Mode.POSITION
        self.faults[place] = 0 if self.running[place] else mode or UNKNOWN_FAULT
        return True

    def _states(self, frames: Sequence[BusFrame], tries: int = TRIES) -> list[Parsed]:
        """One frame a motor, each answered by its state. Commands are sent once."""

        def state(place: int, frame: BusFrame) -> Parsed | None:
            if frame.arbitration_id != self._ids[place] << 8:
                return None
            parsed = _parsed(frame)
            return parsed if parsed is not None and self._take(place, parsed) else None

        return self._exchange.ask(frames, state, tries)

    def _configured(self, place: int, key: str) -> float:
        """A number from the controller's configuration: the console answers in pieces."""
        motor, exchange = self._ids[place], self._exchange
        heard = bytearray()
        exchange.bus.send([moteus.console(motor, f"conf get {key}\n".encode())])

        def piece(_: int, frame: BusFrame) -> bytes | None:
            if frame.arbitration_id != motor << 8:
                return None
            parsed = _parsed(frame)
            return None if parsed is None else parsed.console

        for _ in range(CONSOLE_TRIES):
            heard += exchange.ask([moteus.ask_console(motor)], piece)[0]
            if heard.endswith(b"\n"):
                break
        try:
            return float(heard)
        except ValueError:
            raise exchange.refuses(place, f"{bytes(heard)!r} for {key}") from None


def _parsed(frame: BusFrame) -> Parsed | None:
    """None for what is cut short, or is the controller's complaint about an earlier frame."""
    try:
        return moteus.parse(frame.payload)
    except ValueError:
        return None


def _named(parsed: Parsed) -> str:
    return f"mode {parsed.values[Register.MODE]:g}"
