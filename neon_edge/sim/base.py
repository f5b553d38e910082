"""An emulated locomotion controller: follows velocities, integrates them, stops by itself.

The reference for who writes a real one: `transport/protocol/velocity.py` says what must be refused
and when it must stop, and this does it.
"""

from __future__ import annotations

import contextlib
import math
import socket

from neon_edge.clock import Clock
from neon_edge.config import RobotConfig
from neon_edge.transport.protocol.velocity import (
    COMMAND_BYTES,
    BaseState,
    Velocity,
    VelocityCommand,
    VelocityReport,
    decode_command,
    encode_report,
    is_newer,
)

STEP_NS = 1_000_000
BRISKNESS = 2.0
"""It changes velocity this many times faster than a robot file lets us ask it to."""
STILL: Velocity = (0.0, 0.0, 0.0)


class EmulatedBase:
    """The controller without its socket: datagrams in, reports out, time given."""

    def __init__(self, config: RobotConfig, now_ns: int) -> None:
        self._change = [rate * BRISKNESS * STEP_NS / 1e9 for rate in config.base_acceleration]
        self._now_ns = now_ns
        self._taken_ns = now_ns
        self._command: VelocityCommand | None = None
        self.state = BaseState.IDLE
        self.velocity = [0.0, 0.0, 0.0]
        """Forward m/s, sideways m/s, turn rad/s, in its own frame."""
        self.pose = [0.0, 0.0, 0.0]
        """x m, y m, heading rad, from where it stood first."""
        self.taken = 0
        """Commands followed."""
        self.refused = 0
        """Datagrams that were not."""

    def take(self, raw: bytes, now_ns: int) -> bytes | None:
        """One datagram; the report on it, or None where it is refused."""
        self.advance(now_ns)
        command = decode_command(raw)
        if command is None or not self._may_follow(command):
            self.refused += 1
            return None
        self._command, self._taken_ns = command, now_ns
        self.state = BaseState.FOLLOWING
        self.taken += 1
        return self.report()

    def advance(self, now_ns: int) -> bool:
        """Let time pass; True where the watchdog has tripped just now."""
        tripped = False
        while now_ns - self._now_ns >= STEP_NS:
            self._now_ns += STEP_NS
            tripped |= self._watch()
            self._step()
        return tripped

    def report(self) -> bytes:
        """What it does now."""
        command = self._command
        session, sequence, at_ns = (
            (command.session, command.sequence, command.at_ns) if command else (0, 0, 0)
        )
        forward, sideways, turn = self.velocity
        told = VelocityReport(
            self.state, session, sequence, at_ns, (forward, sideways, turn), self.refused
        )
        return encode_report(told)

    def _may_follow(self, command: VelocityCommand) -> bool:
        newest = self._command
        if newest is None:
            return True
        if command.session != newest.session:
            return self.state is BaseState.STOPPED
        return is_newer(command.sequence, newest.sequence)

    def _watch(self) -> bool:
        if self._command is None or self.state is not BaseState.FOLLOWING:
            return False
        if self._now_ns - self._taken_ns <= self._command.hold_ms * 1_000_000:
            return False
        self.state = BaseState.STOPPED
        return True

    def _step(self) -> None:
        follows = self._command is not None and self.state is BaseState.FOLLOWING
        wanted = self._command.velocity if follows and self._command else STILL
        for axis, (goal, change) in enumerate(zip(wanted, self._change, strict=True)):
            apart = goal - self.velocity[axis]
            self.velocity[axis] += min(max(apart, -change), change)
        forward, sideways, turn = self.velocity
        heading = self.pose[2]
        seconds = STEP_NS / 1e9
        self.pose[0] += (forward * math.cos(heading) - sideways * math.sin(heading)) * seconds
        self.pose[1] += (forward * math.sin(heading) + sideways * math.cos(heading)) * seconds
        self.pose[2] += turn * seconds


class BaseServer:
    """The controller on a UDP port of this machine's loopback."""

    def __init__(self, config: RobotConfig, clock: Clock) -> None:
        self._clock = clock
        self.base = EmulatedBase(config, clock.now_ns())
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", 0))
        self._peer: tuple[str, int] | None = None
        host, port = self._socket.getsockname()
        self.channel = f"{host}:{port}"
        """What a robot file's `channel` must say to reach it."""

    def descriptor(self) -> int:
        """To wait on."""
        return self._socket.fileno()

    def serve(self, now_ns: int) -> None:
        """Take what has come, and say so where the watchdog trips."""
        with contextlib.suppress(BlockingIOError):
            while True:
                raw, peer = self._socket.recvfrom(2 * COMMAND_BYTES)
                report = self.base.take(raw, now_ns)
                if report is not None:
                    self._peer = peer
                    self._tell(report)
        if self.base.advance(now_ns):
            self._tell(self.base.report())

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _tell(self, report: bytes) -> None:
        with contextlib.suppress(OSError):
            if self._peer is not None:
                self._socket.sendto(report, self._peer)
