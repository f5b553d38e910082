"""One child process of the supervisor, started again when it dies, but not for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from neon_edge.clock import Clock
from neon_edge.engine.started import environment
from neon_edge.errors import BusFailed, ConfigWrong, DeviceMissing, NeonEdgeError, UsageWrong

RESTART_AFTER_NS = 500_000_000
RESTARTS = 20
"""So many in a row, each after a short life, and it is given up."""
STOP_AFTER_S = 5.0
STEADY_NS = 60_000_000_000
"""A child that lived so long has earned the first, short wait again, and all restarts."""
BRING_UP_NS = 60_000_000_000
"""What opening heads, tripping watchdogs and measuring may take a control process."""

FINAL = frozenset(error.exit_code for error in (UsageWrong, DeviceMissing, BusFailed, ConfigWrong))
"""Exit codes that a restart does not mend."""

FINAL_ONCE_RUNNING = FINAL - {DeviceMissing.exit_code}
"""A camera that was there may come back."""


class ChildFailed(Exception):
    """A child that the run needs ended with this exit code and has told why on stderr."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"the {name} process ended with exit code {code}")
        self.code = code


class Child:
    """`python -m neon_edge.runtime.NAME RUN.json …`, and its restarts.

    Each restart waits twice as long as the one before, up to 16 s.
    """

    def __init__(self, name: str, spec: Path, clock: Clock, final: frozenset[int] = FINAL) -> None:
        self.name = name
        self._final = final
        self.restarts = 0
        self._spec = spec
        self._clock = clock
        self._died_ns = 0
        self._quick = 0
        self._asked = False
        self.start()

    def start(self, *arguments: str) -> None:
        """Start it; it inherits stderr, and stdout is left to the supervisor's JSON."""
        self._started_ns = self._clock.now_ns()
        self._died_ns = 0
        self._popen = subprocess.Popen(
            [sys.executable, "-m", f"neon_edge.runtime.{self.name}", str(self._spec), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            env=environment(),
        )

    @property
    def code(self) -> int | None:
        """None while it lives, then its exit code, negative for a signal."""
        return self._popen.poll()

    @property
    def pid(self) -> int:
        """Of the newest process."""
        return self._popen.pid

    @property
    def how(self) -> str:
        """Its end, in words."""
        code = self._popen.returncode
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def just_died(self) -> bool:
        """True once for each death."""
        if self.code is None or self._died_ns:
            return False
        self._died_ns = self._clock.now_ns()
        lived_ns = self._died_ns - self._started_ns
        self._quick = 0 if lived_ns > STEADY_NS else self._quick + 1
        return True

    @property
    def given_up(self) -> bool:
        """Dead, and another try would not mend it."""
        return self.code is not None and (self.code in self._final or self._quick > RESTARTS)

    @property
    def coming_up(self) -> bool:
        """Dead and to be started again, or young enough not to have begun its work."""
        if self.code is not None:
            return not self.given_up
        return self._clock.now_ns() - self._started_ns < BRING_UP_NS

    def may_restart(self) -> bool:
        """Dead, worth another try, and the wait is over."""
        if self.code is None or self.given_up:
            return False
        wait_ns = RESTART_AFTER_NS << min(max(self._quick - 1, 0), 5)
        return self._clock.now_ns() - self._died_ns >= wait_ns

    def restart(self, *arguments: str) -> None:
        """Start it again."""
        self.restarts += 1
        self.start(*arguments)

    def send(self, number: int) -> bool:
        """Send it a signal; False where it is dead, and nobody else gets it."""
        if self.code is not None:
            return False
        self._popen.send_signal(number)
        return True

    def failure(self) -> Exception:
        """What its end means for a run that needs it, to be raised."""
        code = self._popen.returncode
        if code >= 0:
            return ChildFailed(self.name, code)
        return NeonEdgeError(
            f"the {self.name} process was killed",
            f"{self.how}, after {self.restarts} restarts",
            "look who kills it: dmesg names what the kernel killed for want of memory",
        )

    def terminate(self) -> None:
        """Ask it to stop: once, for a second signal would meet an interpreter already leaving."""
        if not self._asked and self.code is None:
            self._popen.terminate()
            self._asked = True

    def end(self) -> None:
        """Have it dead: asked first, killed if it does not listen."""
        self.terminate()
        try:
            self._popen.wait(STOP_AFTER_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
