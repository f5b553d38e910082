"""The emulated motors' own process, driven by the vendor's SDK and watched from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dynamixel_sdk
import msgspec
import pytest

from neon_edge.clock import MonotonicClock
from neon_edge.config import Joint, RobotConfig, load_robot
from neon_edge.errors import DeviceMissing
from neon_edge.sim import Simulation, start_sim, with_channels
from neon_edge.sim.state import BASE_CHANNEL
from neon_edge.transport import open_bus
from neon_edge.transport.protocol import damiao
from neon_edge.types import BusFrame
from tests.transport.two_families import only, two_families

CLOCK = MonotonicClock()
SECOND = 1_000_000_000


def wait_for(condition, seconds: float = 5.0) -> bool:  # type: ignore[no-untyped-def]
    deadline_ns = CLOCK.now_ns() + int(seconds * SECOND)
    while not condition():
        if CLOCK.now_ns() > deadline_ns:
            return False
        CLOCK.sleep_until_ns(CLOCK.now_ns() + 5_000_000)
    return True


@pytest.fixture
def robot() -> RobotConfig:
    return only(two_families(), "waist", "left_arm")


@pytest.fixture
def sim(robot: RobotConfig, tmp_path: Path) -> Iterator[Simulation]:
    with start_sim(robot, tmp_path) as running:
        yield running


def test_the_vendors_sdk_talks_to_the_emulated_servos(sim: Simulation) -> None:
    port = dynamixel_sdk.PortHandler(sim.channels["left_arm"])
    sdk = dynamixel_sdk.PacketHandler(2.0)
    assert port.openPort()
    assert port.setBaudRate(1_000_000)
    servos = [1, 2, 7]
    assert sdk.ping(port, 7) == (1020, 0, 0)
    found, result = sdk.broadcastPing(port)
    assert (sorted(found), result) == ([1, 2, 3, 4, 5, 6, 7], 0)

    writes = dynamixel_sdk.GroupSyncWrite(port, sdk, 116, 4)
    for servo, goal in zip(servos, (2100, 2000, 2300), strict=True):
        assert sdk.write1ByteTxRx(port, servo, 64, 1) == (0, 0)
        assert writes.addParam(servo, goal.to_bytes(4, "little"))
    assert writes.txPacket() == 0
    assert [sdk.read4ByteTxRx(port, servo, 116)[0] for servo in servos] == [2100, 2000, 2300]

    reads = dynamixel_sdk.GroupSyncRead(port, sdk, 132, 4)
    for servo in servos:
        assert reads.addParam(servo)

    def positions() -> list[int]:
        assert reads.txRxPacket() == 0
        return [reads.getData(servo, 132, 4) for servo in servos]

    assert wait_for(lambda: positions() == pytest.approx([2100, 2000, 2300], abs=3))
    slow = positions()
    assert reads.fastSyncRead() == 0
    assert [reads.getData(servo, 132, 4) for servo in servos] == pytest.approx(slow, abs=1)
    # Out of range: the servo's own error, through the vendor's decoder.
    assert sdk.write4ByteTxRx(port, 1, 116, 5000) == (0, 6)
    port.closePort()


def test_commands_and_positions_are_seen_from_outside(robot: RobotConfig, sim: Simulation) -> None:
    bus = open_bus(with_channels(robot, sim.channels).buses[0], CLOCK)
    ranges = damiao.Ranges(12.5, 40.0, 100.0)
    go = damiao.encode_command(ranges, damiao.Command(0.5, 0.0, 100.0, 5.0, 0.0))
    bus.send([BusFrame(1, damiao.ENABLE), BusFrame(1, go), BusFrame(1, go)])
    assert wait_for(lambda: sim.received()[0] == 2)
    assert wait_for(lambda: abs(sim.positions()[0] - 0.5) < 0.01)
    assert sim.received()[1:].sum() == 0
    bus.close()


def test_hosts_come_and_go(robot: RobotConfig, sim: Simulation) -> None:
    for config in with_channels(robot, sim.channels).buses[:1] * 3:
        bus = open_bus(config, CLOCK)
        bus.send([BusFrame(damiao.REGISTER_ID, damiao.refresh(2))])
        assert len(bus.receive_until(CLOCK.now_ns() + SECOND)) == 1
        bus.close()


def test_every_host_hears_the_bus(robot: RobotConfig, sim: Simulation) -> None:
    config = with_channels(robot, sim.channels).buses[0]
    talker, listener = open_bus(config, CLOCK), open_bus(config, CLOCK)
    question = BusFrame(damiao.REGISTER_ID, damiao.refresh(2))

    def exchanged() -> bool:
        talker.send([question])
        return question in listener.receive_until(CLOCK.now_ns() + SECOND // 10)

    assert wait_for(exchanged)
    talker.close()
    listener.close()


def test_stopping_cleans_up(robot: RobotConfig, tmp_path: Path) -> None:
    sim = start_sim(robot, tmp_path)
    socket_path = Path(sim.channels["waist"].removeprefix("unix:"))
    assert socket_path.exists()
    sim.stop()
    sim.stop()
    assert not socket_path.exists()
    assert not Path(f"/proc/{sim.pid}").exists()


def test_the_motors_end_with_their_parent(robot: RobotConfig, tmp_path: Path) -> None:
    file = tmp_path / "robot.json"
    file.write_bytes(msgspec.json.encode(robot))
    program = (
        "import msgspec, pathlib, sys\n"
        "from neon_edge.config import RobotConfig\n"
        "from neon_edge.sim import start_sim\n"
        "robot = msgspec.json.decode(pathlib.Path(sys.argv[1]).read_bytes(), type=RobotConfig)\n"
        "print(start_sim(robot, pathlib.Path(sys.argv[2])).pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(file), str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    parent.kill()
    parent.communicate()
    assert wait_for(lambda: not running(pid))


def running(pid: int) -> bool:
    """Alive, and not a zombie that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def test_run_by_hand_on_a_robot_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "neon_edge.sim.main", "sim", str(tmp_path)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert wait_for((tmp_path / "sim.json").exists, 20)
    announced = msgspec.json.decode((tmp_path / "sim.json").read_bytes())
    assert announced["pid"] == child.pid
    buses = {bus.name for bus in load_robot("sim").buses}
    assert set(announced["channels"]) == buses | {BASE_CHANNEL}
    os.kill(child.pid, signal.SIGTERM)
    assert child.communicate()[1] == b""
    assert child.returncode == 0


def test_a_robot_that_cannot_be_simulated_says_why(robot: RobotConfig, tmp_path: Path) -> None:
    arm: Joint = next(joint for joint in robot.joints if joint.bus == "left_arm")
    misplaced = [msgspec.structs.replace(arm, bus="waist", name="elbow_on_can")]
    wrong = msgspec.structs.replace(robot, joints=[*robot.joints, *misplaced])
    with pytest.raises(DeviceMissing) as caught:
        start_sim(wrong, tmp_path)
    assert "cannot carry" in caught.value.facts


def test_a_long_run_directory_still_gets_a_socket(robot: RobotConfig, tmp_path: Path) -> None:
    with start_sim(robot, tmp_path / ("long" * 25)) as sim:
        bus = open_bus(with_channels(robot, sim.channels).buses[0], CLOCK)
        bus.close()
        scratch = Path(sim.channels["waist"].removeprefix("unix:")).parent
        assert scratch.exists()
    assert not scratch.exists()
