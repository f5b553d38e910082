"""Runs that nobody answers for: the supervisor is dead or hangs, and the control process goes on.

Their stop is pressed without a supervisor, by whoever may write the run's own files.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from neon_edge.clock import Clock
from neon_edge.errors import ConfigWrong
from neon_edge.runtime.health import press_stop
from neon_edge.runtime.requests import NAME, is_alive
from neon_edge.runtime.rundir import PREFIX, is_held, place
from neon_edge.runtime.spec import CONTROL_LOG, STOP_FLAG, TICKS, read_note
from neon_edge.telemetry.reader import RingReader
from neon_edge.types import Rung

WAIT_NS = 1_000_000_000
POLL_NS = 20_000_000


def unanswered(given: str = "") -> list[Path]:
    """Directories of runs that live and that no socket of their own answers for.

    `given` is a run's directory or a socket in it, which then is looked at alone.
    """
    path = Path(given)
    named = path if path.is_dir() else path.parent
    if given and (named / STOP_FLAG).exists():
        return [named]
    live = (each for each in sorted(place().glob(PREFIX + "*")) if is_held(each))
    return [each for each in live if not is_alive(each / NAME)]


def stop(directories: list[Path], clock: Clock) -> dict[Path, Rung | None]:
    """Press the stop of each; where each stands a moment later, None where it cannot be told."""
    pressed = [directory for directory in directories if _pressed(directory)]
    give_up_ns = clock.now_ns() + WAIT_NS
    while True:
        stands = {directory: _rung(directory) for directory in pressed}
        if all(rung is not None and rung >= Rung.DAMP for rung in stands.values()):
            return stands
        if clock.now_ns() > give_up_ns:
            return stands
        clock.sleep_until_ns(clock.now_ns() + POLL_NS)


def control_of(directory: Path) -> int:
    """Its control process, which ends as the robot file says when asked to; 0 for unknown."""
    note = read_note(directory / CONTROL_LOG)
    return note.pid if note is not None else 0


def _pressed(directory: Path) -> bool:
    try:
        press_stop(directory / STOP_FLAG, True)
    except OSError:
        return False
    return True


def _rung(directory: Path) -> Rung | None:
    try:
        with closing(RingReader(directory / TICKS, 16)) as ticks:
            ticks.drain()
            newest = ticks.newest(1)
            return Rung(int(newest["rung"][0])) if len(newest) else None
    except (OSError, ConfigWrong):
        return None
