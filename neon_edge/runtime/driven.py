"""Whose motors they are: whoever would ask or switch motors first looks for a run driving them."""

from __future__ import annotations

import contextlib
import os

import msgspec

from neon_edge.config import RobotConfig
from neon_edge.errors import UsageWrong
from neon_edge.runtime.rundir import PREFIX, place, sweep
from neon_edge.runtime.spec import FILE_NAME, read_spec


def refuse_driven(robot: RobotConfig) -> None:
    """Raise `UsageWrong` where a run of this machine drives motors on one of these buses.

    Two masters on one CAN bus disturb each other, and only serial lines can be locked: a bring-up
    beside a run would disable what the run holds.
    """
    ours = _channels(robot)
    sweep()
    for path in place().glob(f"{PREFIX}*/{FILE_NAME}"):
        # One of another version, or of another user, cannot be read.
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            driven = ours & _channels(read_spec(path).robot)
            if driven:
                raise UsageWrong(
                    "a run drives these motors",
                    f"{path.parent}: {', '.join(sorted(driven))}",
                    "end it first: neon-edge stop --end",
                )


def _channels(robot: RobotConfig) -> set[str]:
    """A device has many names (/dev/serial/by-id/…), of which one is its own."""
    return {
        os.path.realpath(bus.channel) if bus.channel.startswith("/") else bus.channel
        for bus in robot.buses
    } - {"sim"}
