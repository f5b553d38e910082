"""Looking at a bus: who answers, and lines that python-can reads back."""

from __future__ import annotations

import io

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.config import CanBus, SerialBus
from neon_edge.errors import UsageWrong
from neon_edge.transport.protocol import candump, canopen, unitree
from neon_edge.transport.scan import refuse_misplaced, scan
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


class Piecemeal:
    """A line whose reads give so many bytes at a time, as a USB adapter's do."""

    def __init__(self, rig: InlineRig, most: int) -> None:
        self._rig = rig
        self._most = most
        self._held = b""

    def __getattr__(self, name: str) -> object:
        return getattr(self._rig.bus, name)

    def receive_until(self, deadline_ns: int) -> list[BusFrame]:
        self._held += b"".join(frame.payload for frame in self._rig.bus.receive_ready())
        if not self._held:
            self._rig.clock.sleep_until_ns(deadline_ns)
            return []
        piece, self._held = self._held[: self._most], self._held[self._most :]
        return [BusFrame(0, piece)]


@pytest.mark.parametrize("family", ["dynamixel", "feetech", "feetech_scs", "unitree"])
@pytest.mark.parametrize("most", [1, 5])
def test_an_answer_that_comes_in_several_reads_is_an_answer(family: str, most: int) -> None:
    rig = InlineRig(robot_of(family))
    found = scan(Piecemeal(rig, most), family.split("_", maxsplit=1)[0], rig.clock)  # type: ignore[arg-type]
    assert [one.id for one in found] == [1, 2, 3]


def test_noise_that_claims_a_long_packet_hides_nobody() -> None:
    rig = InlineRig(robot_of("dynamixel"))
    rig.bus._waiting.append(BusFrame(0, bytes.fromhex("FFFFFD0001FF03")))
    assert [one.id for one in scan(rig.bus, "dynamixel", rig.clock)] == [1, 2, 3]


def test_a_drive_that_refuses_the_question_is_not_found_by_its_refusal() -> None:
    rig = InlineRig(robot_of("cia402"))
    drive = rig.body.motors[1]
    del drive._objects[canopen.Entry.DEVICE_TYPE]  # type: ignore[attr-defined]
    assert [one.id for one in scan(rig.bus, "cia402", rig.clock)] == [1, 3]


def test_a_unitree_scan_leaves_everyone_locked() -> None:
    rig = InlineRig(robot_of("unitree"))
    rig.bus.send([BusFrame(0, unitree.encode_command(unitree.Command(2, unitree.FOC, kp=20.0)))])
    rig.bus.receive_ready()
    scan(rig.bus, "unitree", rig.clock)
    assert not rig.body.dynamics.gains[0].any()


@pytest.mark.parametrize(
    ("bus", "family", "told"),
    [
        (CanBus("b", "can0"), "hydraulic", "no family"),
        (CanBus("b", "can0"), "feetech", "cannot carry"),
        (CanBus("b", "can0"), "moteus", "cannot carry"),
        (CanBus("b", "can0", fd=True), "odrive", "cannot carry"),
        (SerialBus("b", "/dev/x"), "damiao", "cannot carry"),
    ],
)
def test_a_family_that_is_not_there_or_not_on_this_bus_is_refused(
    bus: CanBus | SerialBus, family: str, told: str
) -> None:
    with pytest.raises(UsageWrong, match=told):
        refuse_misplaced(bus, family)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_scanned_on_its_own_bus(family: str) -> None:
    refuse_misplaced(robot_of(family).buses[0], family.split("_", maxsplit=1)[0])


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


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12#00",
        "123",
        "123#0",
        "123#00112233445566778899",
        "#11",
        "FFF#00",
        "FFFFFFFF#11",
        "123##1R",
    ],
)
def test_what_is_no_frame_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"frame|not|beyond"):
        candump.frame(text)
