"""Messages: one line a person reads, or what journald expects."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from neon_edge.clock import FakeClock
from neon_edge.telemetry.log import JournalFormatter, PeopleFormatter, RareWarnings, is_journal


def record(level: int, message: str) -> logging.LogRecord:
    return logging.LogRecord("neon_edge", level, __file__, 1, message, None, None)


@pytest.mark.parametrize(
    ("level", "priority"),
    [("DEBUG", 7), ("INFO", 6), ("WARNING", 4), ("ERROR", 3), ("CRITICAL", 3)],
)
def test_the_journal_gets_the_priority_on_every_line(level: str, priority: int) -> None:
    text = JournalFormatter("control").format(record(getattr(logging, level), "one\ntwo"))
    assert text == f"<{priority}>control: one\n<{priority}>two"


def test_a_traceback_reaches_the_journal_whole() -> None:
    failed = record(logging.ERROR, "it broke")
    try:
        raise ValueError("why")
    except ValueError:
        failed.exc_info = sys.exc_info()
    lines = JournalFormatter("control").format(failed).splitlines()
    assert lines[-1] == "<3>ValueError: why"
    assert all(line.startswith("<3>") for line in lines)


def test_people_get_a_short_time_and_see_the_level_when_it_matters() -> None:
    people = PeopleFormatter("control")
    assert re.fullmatch(r"\d\d:\d\d:\d\d control: hi", people.format(record(logging.INFO, "hi")))
    assert people.format(record(logging.WARNING, "hi")).endswith("control: warning: hi")


def test_only_the_very_stream_that_systemd_named_is_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w") as stream:
        status = os.fstat(stream.fileno())
        assert is_journal(stream, f"{status.st_dev}:{status.st_ino}")
        assert not is_journal(stream, f"{status.st_dev}:{status.st_ino + 1}")
        assert not is_journal(stream, "")


def test_a_process_whose_stderr_is_the_journal_logs_for_it(tmp_path: Path) -> None:
    log = tmp_path / "stderr"
    script = (
        "import logging; from neon_edge.telemetry.log import start_logging;"
        "start_logging('control'); logging.getLogger('x').warning('late')"
    )
    with log.open("w") as stderr:
        status = os.fstat(stderr.fileno())
        named = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        subprocess.run([sys.executable, "-c", script], stderr=stderr, env=named, check=True)
    assert log.read_text() == "<4>control: late\n"


def test_warnings_that_come_often_are_said_rarely_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    rare = RareWarnings(logging.getLogger("rare"), clock, period_ns=1_000)
    said = []
    for _ in range(25):
        said.append(rare.warn("late", "a tick was late"))
        clock.advance_ns(100)
    assert sum(said) == 3
    assert [r.getMessage() for r in caplog.records] == [
        "a tick was late",
        "a tick was late (9 more like it)",
        "a tick was late (9 more like it)",
    ]
    assert rare.warn("stale", "another kind")
