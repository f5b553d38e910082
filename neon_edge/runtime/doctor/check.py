"""One row of the doctor's list, and the machine as its checks see it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Literal

from msgspec import Struct

Outcome = Literal["ok", "warning", "failed"]


class Check(Struct, frozen=True):
    """What was looked at, what was found, and what to do where that is not good."""

    name: str
    outcome: Outcome
    found: str
    fix: str = ""


class Machine:
    """Files under `root` ("/", or a tree of a test), and programs by name."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """An absolute path of the machine."""
        return self.root / name.lstrip("/")

    def text(self, name: str) -> str | None:
        """A small file's text, or None where it is not there or not ours to read."""
        try:
            return self.path(name).read_text(errors="replace").strip("\0\n ")
        except OSError:
            return None

    def number(self, name: str) -> int | None:
        """A small file's one integer."""
        text = self.text(name)
        try:
            return None if text is None else int(text, 0)
        except ValueError:
            return None

    def told(self, *command: str) -> str | None:
        """What a program prints, or None where it is not there or fails."""
        try:
            outcome = subprocess.run(
                command, capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return outcome.stdout if outcome.returncode == 0 else None
