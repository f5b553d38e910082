"""Messages for people on stderr: journald's way under systemd, a short time at a terminal."""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO

from neon_edge.clock import Clock

# syslog(3) priorities, which journald reads from a line's first characters (sd-daemon(3)).
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7))


class PeopleFormatter(logging.Formatter):
    """`14:03:07 control: message`, with the level in front when it is a warning or worse."""

    def __init__(self, name: str, erase: bool = False) -> None:
        super().__init__(datefmt="%H:%M:%S")
        self._name = name
        # A live line may stand where the message begins.
        self._erase = "\r\033[K" if erase else ""

    def format(self, record: logging.LogRecord) -> str:
        """One record, its traceback on the lines below."""
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        time = self.formatTime(record, self.datefmt)
        return f"{self._erase}{time} {self._name}: {level}{_message(self, record)}"


class JournalFormatter(logging.Formatter):
    """`<4>control: message`: the journal has the time and wants the priority on every line."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def format(self, record: logging.LogRecord) -> str:
        """One record, each of its lines with the priority."""
        prefix = f"<{_priority(record.levelno)}>"
        text = f"{self._name}: {_message(self, record)}"
        return "\n".join(prefix + line for line in text.splitlines())


class RareWarnings:
    """Warnings from something that happens often: one a period for each kind, with a count."""

    def __init__(self, log: logging.Logger, clock: Clock, period_ns: int = 1_000_000_000) -> None:
        self._log = log
        self._clock = clock
        self._period_ns = period_ns
        self._next_ns: dict[str, int] = {}
        self._unsaid: dict[str, int] = {}

    def warn(self, kind: str, message: str) -> bool:
        """Say `message` unless one of the same `kind` was said within the period. True if said."""
        now_ns = self._clock.now_ns()
        if now_ns < self._next_ns.get(kind, 0):
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return False
        unsaid = self._unsaid.pop(kind, 0)
        self._log.warning("%s%s", message, f" ({unsaid} more like it)" if unsaid else "")
        self._next_ns[kind] = now_ns + self._period_ns
        return True


def is_journal(stream: TextIO, journal_stream: str) -> bool:
    """True if `stream` is the one that systemd's JOURNAL_STREAM ("device:inode") names.

    The variable is inherited by children whose stderr goes elsewhere, so it must be compared.
    """
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return journal_stream == f"{status.st_dev}:{status.st_ino}"


def start_logging(name: str, level: int = logging.INFO) -> None:
    """Send this process's log to stderr as `name`, in the form that its reader wants."""
    to_journal = is_journal(sys.stderr, os.environ.get("JOURNAL_STREAM", ""))
    stderr = logging.StreamHandler(sys.stderr)
    people = PeopleFormatter(name, erase=sys.stderr.isatty())
    stderr.setFormatter(JournalFormatter(name) if to_journal else people)
    root = logging.getLogger()
    root.handlers[:] = [stderr]
    root.setLevel(level)


def _message(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.exc_info:
        message += "\n" + formatter.formatException(record.exc_info)
    return message


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), 7)
