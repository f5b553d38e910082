"""The base's end of the wire: a velocity a tick to a locomotion controller, and its reports back.

Sockets never block and never fail a tick: a command that does not leave, or a controller that does
not answer, is silence, and silence is what safety judges (`base_hold_after_ms`).
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass

from neon_edge.clock import Clock
from neon_edge.config import RobotConfig, UdpBase
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.transport.protocol.velocity import (
    REPORT_BYTES,
    BaseState,
    Velocity,
    VelocityCommand,
    VelocityReport,
    decode_report,
    encode_command,
)
from neon_edge.types import Float32, JointCommand, JointState

PATIENCE_NS = 1_000_000_000
POLL_NS = 2_000_000
ASK_EVERY_NS = 20_000_000
MOST_A_READ = 8
"""Reports taken in one tick: no sender can keep us reading."""
STILL: Velocity = (0.0, 0.0, 0.0)


@dataclass(slots=True)
class BaseCounters:
    """What has been exchanged since the base was opened."""

    sent: int = 0
    """Velocities on the wire."""
    not_sent: int = 0
    """Velocities that the kernel would not take."""
    reports: int = 0
    damaged: int = 0
    """Datagrams that were no report."""
    refused: int = 0
    """Our datagrams that the controller refused, by its own count."""
    trips: int = 0
    """Times that its watchdog stopped it between two of our commands."""


class BaseLink:
    """One controller behind one connected UDP socket. One thread owns it."""

    def __init__(self, config: UdpBase, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self.counters = BaseCounters()
        self._socket = _connected(config.channel)
        # Unlike that of a sender which ran here before; 0 stands for none.
        self._session = clock.now_ns() // 1000 % 0xFFFFFFFF + 1
        self._sequence = 0
        self._stopped = False
        self._last: VelocityReport | None = None
        self._heard_ns = clock.now_ns()

    def write(self, command: JointCommand) -> None:
        """Send this tick's base velocity. Raises `ValueError` for one that is not finite."""
        self._stopped = False
        forward, sideways, turn = command.base_velocity.tolist()
        self._send((forward, sideways, turn), command.at_ns)

    def read(self, state: JointState) -> None:
        """Put the newest report that is in into `state`."""
        self._drain()
        state.base_received_ns = self._heard_ns
        if self._last is not None:
            _fill(state.base_velocity, self._last.velocity)

    def set_up(self) -> None:
        """Find the controller, standing still, and see its watchdog trip. Raises `DeviceMissing`.

        Waits for its answers and for `watchdog_ms`: not for the tick.
        """
        self._await(BaseState.FOLLOWING, "does not answer", asking=True)
        self._await(BaseState.STOPPED, "did not stop by itself", asking=False)
        self.counters.trips = 0

    def alive(self) -> None:
        """The first tick must not take a base that was just found for a silent one."""
        self._heard_ns = self._clock.now_ns()

    def stop(self) -> None:
        """Zero velocity, once; what follows is silence, and the watchdog."""
        if not self._stopped:
            self._send(STILL, self._clock.now_ns())
        self._stopped = True

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _send(self, velocity: Velocity, at_ns: int) -> None:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        raw = encode_command(
            VelocityCommand(
                self._config.watchdog_ms, self._session, self._sequence, at_ns, velocity
            )
        )
        try:
            self._socket.send(raw)
        except OSError:
            self.counters.not_sent += 1
        else:
            self.counters.sent += 1

    def _drain(self) -> None:
        # A peer that is gone shows as an error on the socket; it is silence all the same.
        with contextlib.suppress(OSError):
            for _ in range(MOST_A_READ):
                self._take(self._socket.recv(2 * REPORT_BYTES))

    def _take(self, raw: bytes) -> None:
        report = decode_report(raw)
        counters = self.counters
        if report is None or report.session != self._session:
            counters.damaged += 1
            return
        counters.reports += 1
        counters.refused = report.refused
        counters.trips += report.state is BaseState.STOPPED
        self._last, self._heard_ns = report, self._clock.now_ns()

    def _await(self, state: BaseState, wrong: str, *, asking: bool) -> None:
        clock, config = self._clock, self._config
        begun_ns = asked_ns = clock.now_ns() - ASK_EVERY_NS
        limit_ns = PATIENCE_NS + config.watchdog_ms * 1_000_000
        while clock.now_ns() - begun_ns < limit_ns:
            if asking and clock.now_ns() - asked_ns >= ASK_EVERY_NS:
                asked_ns = clock.now_ns()
                self._send(STILL, asked_ns)
            clock.sleep_until_ns(clock.now_ns() + POLL_NS)
            self._drain()
            if self._last is not None and self._last.state is state:
                return
        raise DeviceMissing(
            f"the base at {config.channel} {wrong}",
            f"waited {limit_ns / 1e9:.1f} s; {self.counters.reports} reports, "
            f"{self.counters.damaged} damaged or of another session, "
            f"{self.counters.refused} of ours refused",
            "is the controller on, is it alone with us, does it speak version 1 of "
            "transport/protocol/velocity.py?",
        )


def open_base(config: RobotConfig, clock: Clock) -> BaseLink | None:
    """The link that a robot file asks for, or None where it asks for none. Raises `ConfigWrong`."""
    return None if config.base is None else BaseLink(config.base, clock)


def _connected(channel: str) -> socket.socket:
    host, _, port = channel.rpartition(":")
    try:
        if not host:
            raise ValueError("no host")
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except (OSError, ValueError) as failure:
        raise ConfigWrong(
            "the base's channel is not an address",
            f"{channel!r}: {failure}",
            'give HOST:PORT of the controller; "sim" works with `neon-edge run` only',
        ) from None
    family, kind, protocol, _, address = found[0]
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.connect(address)
    return made


def _fill(target: Float32, values: Velocity) -> None:
    target[0], target[1], target[2] = values
