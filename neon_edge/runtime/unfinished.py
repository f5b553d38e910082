"""Whether the run before this one ended as it should: a file that outlives a crashed service.

What starts a crashed robot again is no person, so the robot must not stand up for it. The file is
made ahead of the first torque and removed by a run that ends as it was asked to, with no stop
pressed. It stands in systemd's RuntimeDirectory, which `RuntimeDirectoryPreserve=restart` keeps
for a service that is started again and no longer; without one a person started the run.
"""

from __future__ import annotations

from pathlib import Path

from neon_edge.errors import DeviceMissing
from neon_edge.runtime.rundir import runtime_directory

NAME = "unfinished"


def _path() -> Path | None:
    directory = runtime_directory()
    return None if directory is None else directory / NAME


def was_unfinished() -> bool:
    """Whether a run before this one could have moved its motors and never ended as it should."""
    path = _path()
    return path is not None and path.exists()


def begin() -> None:
    """From here on this run is unfinished. Raises `DeviceMissing` where that cannot be kept."""
    path = _path()
    if path is None:
        return
    try:
        path.touch()
    except OSError as failure:
        raise DeviceMissing(
            "a crash of this run could not be remembered, so it moves nothing",
            f"{path}: {failure.strerror}",
            "make room there, and let this user write to it",
        ) from None


def finish() -> None:
    """It ended as it was asked to."""
    path = _path()
    if path is not None:
        path.unlink(missing_ok=True)
