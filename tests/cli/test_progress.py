"""A bar for people, lines for logs."""

from __future__ import annotations

import io

from neon_edge.build.ledger import Step
from neon_edge.cli.progress import BuildProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Stopwatch:
    """Three seconds a look."""

    def __init__(self) -> None:
        self.now = 0

    def now_ns(self) -> int:
        self.now += 3_000_000_000
        return self.now

    def sleep_until_ns(self, due_ns: int) -> None:
        raise AssertionError("a build never sleeps")


def said(stream: io.StringIO) -> str:
    progress = BuildProgress(stream, Stopwatch())
    progress("export tiny")
    progress(Step("export vision", 1, 4))
    progress(Step("export decoder", 3, 4))
    progress("verify")
    progress.close()
    return stream.getvalue()


def test_a_log_gets_a_line_a_step() -> None:
    assert said(io.StringIO()).splitlines() == [
        "neon-edge build: export tiny",
        "neon-edge build: 1/4 export vision (at 6.0 s)",
        "neon-edge build: 3/4 export decoder (at 9.0 s)",
        "neon-edge build: verify",
    ]


def test_a_terminal_gets_one_bar_that_grows_and_goes() -> None:
    shown = said(Terminal()).split("\r\x1b[K")
    assert shown[1] == "[" + "." * 24 + "] 1/4 export vision (6 s)"
    assert shown[2] == "[" + "#" * 12 + "." * 12 + "] 3/4 export decoder (9 s)"
    assert shown[3] == "neon-edge build: verify\n"
