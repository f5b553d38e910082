"""One master a CAN bus; the next is refused until the first has let go or died."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from neon_edge.clock import MonotonicClock
from neon_edge.config import CanBus
from neon_edge.errors import DeviceMissing
from neon_edge.transport import open_robot
from neon_edge.transport.master import hold_bus
from tests.safety.bench import robot

HELD = """
import sys
from neon_edge.config import CanBus
from neon_edge.transport.master import hold_bus
held = hold_bus(CanBus("arm", sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_is_refused_until_this_one_is_killed(tmp_path: Path) -> None:
    bus = CanBus("arm", f"unix:{tmp_path}/{'long' * 30}/can")
    child = subprocess.Popen(
        [sys.executable, "-c", HELD, bus.channel],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(DeviceMissing, match="another process commands") as refused:
        hold_bus(bus)
    assert bus.channel in refused.value.facts
    hold_bus(CanBus("other", f"{bus.channel}2")).close()
    child.kill()
    child.communicate()
    hold_bus(bus).close()


def test_a_robot_is_not_opened_on_a_bus_that_has_a_master() -> None:
    config = robot()
    held = hold_bus(CanBus("b", "can0"))
    try:
        with (
            pytest.raises(DeviceMissing, match="another process commands"),
            open_robot(config, MonotonicClock()),
        ):
            pass
    finally:
        held.close()
    # Let go, it gets as far as the interface, which is not there.
    with pytest.raises(DeviceMissing) as absent, open_robot(config, MonotonicClock()):
        pass
    assert "another process" not in str(absent.value)
