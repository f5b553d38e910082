"""What motors say of themselves at bring-up: told, and refused where it is not what it must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from neon_edge.clock import FakeClock
from neon_edge.config import RobotConfig, SerialBus, load_robot
from neon_edge.errors import ConfigWrong
from neon_edge.sim.body import Body
from neon_edge.sim.cia402 import EmulatedCia402
from neon_edge.sim.dynamixel import EmulatedDynamixel
from neon_edge.sim.feetech import EmulatedFeetech
from neon_edge.sim.odrive import EmulatedOdrive
from neon_edge.transport import open_robot
from neon_edge.transport.protocol import dynamixel_table as table
from neon_edge.transport.protocol import feetech, odrive
from neon_edge.transport.protocol.canopen import Entry
from tests.cli.live import write_robot
from tests.transport.families import robot_of
from tests.transport.inline import Inline, inline_buses, inline_robot

TOLD = {
    "damiao": "",
    "robstride": "",
    "odrive": "hardware 4.4.58, firmware 0.6.11",
    "moteus": "model 0x4, firmware 0x10600",
    "cia402": "vendor 0xed6e, product 0x402, revision 0x10002, encoder 65536",
    "dynamixel": "model 1020, firmware 45",
    "feetech": "model 777, firmware 3.10",
    "feetech_scs": "model 1284, firmware 3.10",
    "unitree": "",
}
FIRMWARE = {
    "odrive": ("0.6.11", "0.6.10"),
    "moteus": ("0x10600", "0x10500"),
    "cia402": ("0x10002", "0x10003"),
    "dynamixel": ("45", "46"),
    "feetech": ("3.10", "3.9"),
}
"""What the emulated motors say where nobody states it, and something else."""


@pytest.mark.parametrize("family", TOLD)
def test_what_a_motor_says_of_itself_is_told(family: str) -> None:
    with inline_robot(robot_of(family)) as inline:
        assert inline.robot.counters.told == [TOLD[family]] * 3


@pytest.mark.parametrize("family", FIRMWARE)
def test_another_firmware_than_the_files_is_refused_with_both_sides(family: str) -> None:
    right, wrong = FIRMWARE[family]
    with inline_robot(stated(family, firmware=right)) as inline:
        body, clock = inline.body, inline.clock
    there = Inline(inline.robot, body, clock, {}, inline.config)
    with (
        pytest.raises(ConfigWrong, match="firmware") as caught,
        inline_robot(stated(family, firmware=wrong), again=there),
    ):
        pass
    assert right in caught.value.facts
    assert wrong in caught.value.facts


def stated(family: str, **motor: Any) -> RobotConfig:
    """Feetech's maker takes nothing, so that its servos never have a watchdog."""
    robot = robot_of(family)
    joints = [
        msgspec.structs.replace(joint, motor=msgspec.structs.replace(joint.motor, **motor))
        for joint in robot.joints
    ]
    return msgspec.structs.replace(robot, joints=joints)


def refused(robot: RobotConfig, change: Any) -> ConfigWrong:
    """What bring-up says of motors after `change` has been at the second."""
    clock = FakeClock()
    body = Body(robot, clock.now_ns())
    change(body.motors[1])
    with (
        inline_buses(body, clock),
        pytest.raises(ConfigWrong) as caught,
        open_robot(robot, clock),
    ):
        pass
    assert "'joint_1'" in caught.value.wrong
    return caught.value


@pytest.mark.parametrize(
    ("firmware", "changes", "fix"),
    [(37, {}, "watchdog_ms = 0"), (44, {"fast_sync_read": True}, "fast_sync_read = false")],
)
def test_a_servo_too_old_for_what_is_asked_of_it_is_refused(
    firmware: int, changes: dict[str, bool], fix: str
) -> None:
    robot = robot_of("dynamixel")
    robot = msgspec.structs.replace(robot, buses=[SerialBus("line", "sim", **changes)])

    def old(servo: EmulatedDynamixel) -> None:
        servo._put(table.FIRMWARE, firmware, 1)

    said = refused(robot, old)
    assert "too old" in said.wrong
    assert str(firmware) in said.facts
    assert fix in said.fix


def test_old_servos_do_for_a_robot_that_asks_for_less() -> None:
    robot = robot_of("dynamixel", watchdog_ms=0)
    with inline_robot(robot) as inline:
        clock, body = inline.clock, inline.body
    for servo in body.motors:
        assert isinstance(servo, EmulatedDynamixel)
        servo._put(table.FIRMWARE, 20, 1)
    there = Inline(inline.robot, body, clock, {}, robot)
    with inline_robot(robot, again=there) as again:
        assert again.robot.counters.told[0] == "model 1020, firmware 20"


@pytest.mark.parametrize(
    ("address", "width", "value", "what"),
    [(table.DRIVE_MODE, 1, 1, "drive mode"), (table.HOMING_OFFSET, 4, -1024, "homing offset")],
)
def test_a_servo_that_turns_or_counts_otherwise_is_refused(
    address: int, width: int, value: int, what: str
) -> None:
    said = refused(robot_of("dynamixel"), lambda servo: servo._put(address, value, width))
    assert what in said.wrong


def test_a_servo_that_turns_and_counts_as_stated_is_taken() -> None:
    with inline_robot(stated("dynamixel", drive_mode=1, homing_offset=-1024)) as inline:
        assert inline.robot.measure().shape == (3,)


def test_a_feetech_servo_in_wheel_mode_is_refused() -> None:
    def wheel(servo: EmulatedFeetech) -> None:
        servo.table[feetech.STS_MODE] = 1

    assert "operating mode (33)" in refused(robot_of("feetech"), wheel).wrong


def test_an_odrive_that_tells_no_version_is_taken_unless_one_is_stated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    says = EmulatedOdrive._say
    monkeypatch.setattr(
        EmulatedOdrive,
        "_say",
        lambda axis, command: says(axis, command) if command else None,
    )
    with inline_robot(robot_of("odrive")) as inline:
        assert inline.robot.counters.told == ["tells no firmware"] * 3
    with (
        pytest.raises(ConfigWrong, match="firmware"),
        inline_robot(stated("odrive", firmware="0.6.11")),
    ):
        pass


@pytest.mark.parametrize("length", [0, 7])
def test_a_version_of_another_length_is_none(length: int) -> None:
    with pytest.raises(ValueError, match="bytes where"):
        odrive.decode_version(bytes(length))


def test_an_encoder_unlike_the_files_is_refused_and_one_that_is_not_told_is_not() -> None:
    robot = stated("cia402", encoder_counts=4096)

    def other(drive: EmulatedCia402) -> None:
        drive._objects[Entry.ENCODER_COUNTS] = 8192

    said = refused(robot, other)
    assert "608F" in said.wrong
    assert ("4096" in said.facts, "8192" in said.facts) == (True, True)

    def silent(drive: EmulatedCia402) -> None:
        del drive._objects[Entry.ENCODER_COUNTS]

    assert "608F" in refused(robot, silent).wrong


def test_a_drive_need_not_tell_what_nobody_counts_on() -> None:
    robot = robot_of("cia402")
    clock = FakeClock()
    body = Body(robot, clock.now_ns())
    for drive in body.motors:
        assert isinstance(drive, EmulatedCia402)
        for entry in (Entry.REVISION, Entry.ENCODER_COUNTS, Entry.ENCODER_TURNS):
            del drive._objects[entry]
    with inline_buses(body, clock), open_robot(robot, clock) as opened:
        told = opened.counters.told[0]
    assert told == "vendor 0xed6e, product 0x402, revision tells no firmware"


@pytest.mark.parametrize(
    ("family", "firmware"),
    [("dynamixel", "v45"), ("feetech", "3"), ("odrive", "0.6"), ("moteus", "1.6"), ("cia402", "2")],
)
def test_a_firmware_that_no_motor_can_say_is_refused_in_the_file(
    family: str, firmware: str, tmp_path: Path
) -> None:
    file = write_robot(tmp_path / "r.toml", stated(family, firmware=firmware))
    with pytest.raises(ConfigWrong, match="firmware"):
        load_robot(str(file))
    load_robot(str(write_robot(file, stated(family, firmware=FIRMWARE[family][0]))))
