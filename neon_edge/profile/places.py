"""Where a page or a trace is to be written: refused before the robot moves, not after."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from neon_edge.errors import UsageWrong


def check_places(paths: Iterable[Path | None]) -> None:
    """Raise `UsageWrong` for the first that could not be written."""
    for path in paths:
        if path is None:
            continue
        folder = path.parent
        if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
            raise UsageWrong(
                f"{path} cannot be written",
                "it is a directory" if path.is_dir() else f"no writable directory {folder}",
                "name a file in a directory that exists",
            )
