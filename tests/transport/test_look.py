"""Looking at a bus: who answers, and lines that python-can reads back."""

from __future__ import annotations

import io

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.errors import UsageWrong
from neon_edge.transport.protocol import candump
from neon_edge.transport.scan import scan
from neon_edge.types import BusFrame
from tests.transport.families import FAMILIES, robot_of
from tests.transport.inline import InlineRig
from tests.transport.test_socketcan import frames


@pytest.mark.parametrize("family", FAMILIES)
def test_a_scan_finds_everyone_and_commands_nobody(family: str) -> None:
    rig = InlineRig(robot_of(family))
    found = scan(rig.bus, family.split("_", maxsplit=1)[0], rig.clock)
    assert [one.id for one in found] == [1, 2, 3]
    assert rig.body.received().sum() == 0


def test_a_family_that_does_not_exist_is_refused() -> None:
    rig = InlineRig(robot_of("damiao"))
    with pytest.raises(UsageWrong, match="hydraulic"):
        scan(rig.bus, "hydraulic", rig.clock)


@given(frame=st.one_of(frames(False), frames(True)), at_ns=st.integers(0, 2**60))
def test_python_can_reads_the_lines(frame: BusFrame, at_ns: int) -> None:
    text = candump.line(frame, "can0", at_ns)
    (message,) = can.CanutilsLogReader(io.StringIO(text + "\n"))
    assert message.arbitration_id == frame.arbitration_id
    assert message.is_extended_id == frame.extended
    assert message.is_remote_frame == frame.remote
    assert message.is_fd == frame.fd
    assert bytes(message.data or b"") == frame.payload
    assert message.timestamp == pytest.approx(at_ns / 1e9, abs=1e-3)
    assert message.channel == "can0"
    assert candump.frame(candump.words(frame)) == frame


@pytest.mark.parametrize("text", ["", "12#00", "123", "123#0", "123#00112233445566778899", "#11"])
def test_what_is_no_frame_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"frame|not"):
        candump.frame(text)
