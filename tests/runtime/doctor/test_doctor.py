"""The doctor sees what is wrong with a machine made of files, and says how to mend it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from neon_edge.config import CanBus, RobotConfig, SerialBus, load_robot
from neon_edge.config.cores import Cpus
from neon_edge.config.sensors import Sensor, SerialSensor, UdpSensor, UnixSensor
from neon_edge.runtime.doctor import host, load, robot, sensors, wires
from neon_edge.runtime.doctor.check import Check, Machine
from tests.conftest import neon_edge

SIM = load_robot("sim")
CAN = next(bus for bus in SIM.buses if isinstance(bus, CanBus))
SERIAL = next(bus for bus in SIM.buses if isinstance(bus, SerialBus))


def rows(checks: Iterable[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


class Files:
    """A machine's files, and programs that say what they are told to."""

    def __init__(self, path: Path) -> None:
        self.machine = Machine(path / "root")
        self.programs = path / "bin"
        self.programs.mkdir()

    def put(self, name: str, text: str) -> None:
        path = self.machine.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def program(self, name: str, prints: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{prints}\nEND\n")
        path.chmod(0o755)

    def link(self, name: str, flags: str = "0x1", queue: int = 1000, **facts: object) -> None:
        self.put(f"/sys/class/net/{name}/type", "280\n")
        self.put(f"/sys/class/net/{name}/flags", f"{flags}\n")
        self.put(f"/sys/class/net/{name}/tx_queue_len", f"{queue}\n")
        told = [{"ifname": name, "linkinfo": {"info_kind": "can", "info_data": facts}}]
        self.program("ip", json.dumps(told))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    made = Files(tmp_path)
    monkeypatch.setenv("PATH", f"{made.programs}:{os.environ['PATH']}")
    return made


def with_bus(bus: CanBus | SerialBus) -> RobotConfig:
    return msgspec.structs.replace(SIM, buses=[bus])


def can_robot() -> RobotConfig:
    return with_bus(msgspec.structs.replace(CAN, channel="can0"))


def test_a_can_link_as_the_set_up_script_leaves_it_is_well(files: Files) -> None:
    files.link("can0", state="ERROR-ACTIVE", restart_ms=100, bittiming={"bitrate": 1_000_000})
    found = rows(wires.buses(can_robot(), files.machine))
    assert {check.outcome for check in found.values()} == {"ok"}
    assert len(found) == 3


@pytest.mark.parametrize(
    ("facts", "name", "outcome", "fix"),
    [
        ({"flags": "0x0"}, "", "failed", "ip link set can0 up"),
        ({"queue": 10}, " queue", "warning", "txqueuelen 1000"),
        ({"restart_ms": 0}, " recovery", "warning", "restart-ms 100"),
        ({"state": "BUS-OFF"}, " controller", "failed", "wiring"),
        ({"bittiming": {"bitrate": 500_000}}, " bit rate", "failed", "setup_can.sh"),
    ],
)
def test_what_is_wrong_with_a_can_link_is_named_with_its_fix(
    files: Files, facts: dict[str, object], name: str, outcome: str, fix: str
) -> None:
    well: dict[str, object] = {"restart_ms": 100, "bittiming": {"bitrate": 1_000_000}}
    files.link("can0", **{**well, **facts})  # type: ignore[arg-type]
    check = rows(wires.buses(can_robot(), files.machine))[f"bus {CAN.name}{name}"]
    assert check.outcome == outcome
    assert fix in check.fix


def test_an_interface_that_is_absent_or_no_can_fails(files: Files) -> None:
    (check,) = wires.buses(can_robot(), files.machine)
    assert (check.outcome, "no CAN interface can0" in check.found) == ("failed", True)
    files.put("/sys/class/net/can0/type", "1")
    (check,) = wires.buses(can_robot(), files.machine)
    assert check.outcome == "failed"


def test_a_slow_latency_timer_is_seen_through_a_lasting_name(files: Files) -> None:
    files.put("/dev/ttyUSB3", "")
    by_id = files.machine.path("/dev/serial/by-id/usb-FTDI")
    by_id.parent.mkdir(parents=True)
    by_id.symlink_to(files.machine.path("/dev/ttyUSB3"))
    subject = with_bus(msgspec.structs.replace(SERIAL, channel="/dev/serial/by-id/usb-FTDI"))
    name = f"bus {SERIAL.name}"
    assert rows(wires.buses(subject, files.machine)).keys() == {name}
    timer = "/sys/bus/usb-serial/devices/ttyUSB3/latency_timer"
    for ms, outcome in ((16, "warning"), (1, "ok")):
        files.put(timer, f"{ms}\n")
        check = rows(wires.buses(subject, files.machine))[f"{name} latency timer"]
        assert (check.outcome, f"{ms} ms" in check.found) == (outcome, True)
    files.machine.path("/dev/ttyUSB3").unlink()
    (check,) = wires.buses(subject, files.machine)
    assert check.outcome == "failed"


def test_clocks_and_power_mode_are_judged_where_there_are_any(files: Files) -> None:
    (check,) = host.clocks(files.machine)
    assert check.outcome == "ok"
    assert list(host.power(files.machine)) == []
    for core, governor in enumerate(("performance", "schedutil")):
        files.put(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor", governor)
        (check,) = host.clocks(files.machine)
        assert check.outcome == ("ok" if core == 0 else "warning")
    files.program("nvpmodel", "NV Power Mode: MODE_30W\n2")
    (check,) = host.power(files.machine)
    assert (check.outcome, check.fix) == ("warning", "sudo nvpmodel -m 0")
    files.program("nvpmodel", "NV Power Mode: MAXN\n0")
    (check,) = host.power(files.machine)
    assert check.outcome == "ok"


@pytest.mark.parametrize(
    ("cpus", "isolated", "outcome", "words"),
    [
        ([2, 3], "2-3", "ok", "2, 3 for the tick, isolated"),
        ([3], "", "ok", "3 for the tick, not isolated"),
        ([1], "2-3", "warning", "2, 3 isolated (isolcpus), and the tick is on 1"),
        ("any", "3", "warning", "3 isolated (isolcpus), and the tick is on any other"),
        ("any", "", "ok", "none of its own"),
        ([3, 4, 9], "3", "failed", "names 4, 9; here are 0, 1, 2, 3"),
    ],
)
def test_cores_that_a_robot_names_exist_and_isolated_ones_are_used(
    files: Files, cpus: Cpus, isolated: str, outcome: str, words: str
) -> None:
    files.put("/sys/devices/system/cpu/online", "0-3\n")
    files.put("/sys/devices/system/cpu/isolated", f"{isolated}\n")
    (check,) = host.cores(files.machine, cpus)
    assert (check.outcome, check.name) == (outcome, "cores")
    assert words in check.found
    assert ("[runtime] cpus" in check.fix) == (outcome != "ok")


def test_real_time_is_tried_and_a_refusal_keeps_its_fix(files: Files) -> None:
    assert {check.name for check in host.real_time(files.machine)} == {
        "real-time priority", "locked memory"
    }  # fmt: skip
    refused = Refusing()
    checks = rows(host.real_time(refused))
    assert checks["real-time priority"].outcome == "warning"
    assert "LimitRTPRIO" in checks["real-time priority"].fix
    assert "LimitMEMLOCK" in checks["locked memory"].fix


class Refusing(Machine):
    """A machine whose limits give nothing."""

    def told(self, *command: str) -> str | None:
        program, flag, source = command
        # Root may do anything: give the right up, then try.
        limits = (
            "import resource as r, os; r.setrlimit(r.RLIMIT_MEMLOCK, (0, 0)); "
            "r.setrlimit(r.RLIMIT_RTPRIO, (0, 0)); os.getuid() or os.setuid(65534); "
        )
        return super().told(program, flag, source.replace("had = ", limits + "had = "))


def crowded(joints: int, bus: CanBus | SerialBus, rate_hz: float = 50.0) -> RobotConfig:
    like = next(joint for joint in SIM.joints if joint.bus == bus.name)
    same = [msgspec.structs.replace(like, name=f"j{n}") for n in range(joints)]
    return msgspec.structs.replace(SIM, buses=[bus], joints=same, rate_hz=rate_hz)


@pytest.mark.parametrize("bus", [CAN, SERIAL], ids=["can", "serial"])
def test_what_cannot_fit_a_bus_is_refused_with_a_rate_that_does(bus: CanBus | SerialBus) -> None:
    (well,) = load.bus_load(crowded(7, bus))
    assert (well.outcome, "7 joints at 50 Hz" in well.found) == ("ok", True)
    subject = crowded(29, bus, 200.0)
    (check,) = load.bus_load(subject)
    assert check.outcome == "failed"
    assert bus.name in check.found
    fitting = re.search(r"rate_hz = (\d+)", check.fix)
    assert fitting is not None
    (mended,) = load.bus_load(msgspec.structs.replace(subject, rate_hz=float(fitting[1])))
    assert mended.outcome == "ok"
    assert list(load.bus_load(msgspec.structs.replace(SIM, buses=[]))) == []


def test_a_motor_without_a_watchdog_is_named() -> None:
    motor = msgspec.structs.replace(SIM.joints[3].motor, watchdog_ms=0)
    joints = [*SIM.joints]
    joints[3] = msgspec.structs.replace(joints[3], motor=motor)
    (check,) = robot.watchdogs(msgspec.structs.replace(SIM, joints=joints))
    assert check.outcome == "warning"
    assert SIM.joints[3].name in check.found


def test_the_whole_examination_of_the_simulated_robot(plans: Path) -> None:
    outcome = neon_edge("doctor", "--robot", "sim", "--engines", str(plans), "--motors", "--json")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    found = {row["name"]: row for row in json.loads(outcome.stdout)}
    assert found["motors"]["found"] == "29 answered, all inside their limits"
    assert found["plan files"]["outcome"] == "ok"
    assert found.keys() >= {"robot file", "real-time priority", "disk", "bus left_leg load"}


def test_a_damaged_plan_and_an_absent_robot_fail_with_a_fix(plans: Path, tmp_path: Path) -> None:
    outcome = neon_edge("doctor", "--robot", "sim", "--engines", str(tmp_path))
    assert outcome.returncode == 1
    assert "build them" in outcome.stdout
    assert neon_edge("doctor", "--robot", "nobody").returncode == 1
    assert neon_edge("doctor", "--motors").returncode == 2


def test_a_directory_that_is_not_there_is_a_row_and_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "absent"))
    found = rows(host.disk(None))
    assert found["disk"].outcome == "failed"
    assert "absent: No such file" in found["disk"].found
    assert found["shared memory"].outcome == "ok"


@pytest.mark.parametrize(
    ("channel", "outcome", "told"),
    [
        ("slcan:/dev/ttyACM0", "ok", "/dev/ttyACM0 is there"),
        ("slcan:/dev/ttyACM0@115200", "ok", "/dev/ttyACM0 is there"),
        ("slcan:/dev/ttyACM7", "failed", "there is no /dev/ttyACM7"),
        ("pcan:PCAN_USBBUS1", "ok", "python-can's pcan, channel PCAN_USBBUS1"),
        ("slcn:/dev/ttyACM0", "failed", "has no interface 'slcn'"),
    ],
)
def test_adapters_of_python_can_are_no_kernel_interfaces(
    files: Files, channel: str, outcome: str, told: str
) -> None:
    files.put("/dev/ttyACM0", "")
    robot = with_bus(msgspec.structs.replace(CAN, channel=channel))
    (found,) = wires.buses(robot, files.machine)
    assert (found.name, found.outcome) == (f"bus {CAN.name}", outcome)
    assert told in found.found
    assert outcome == "ok" or found.fix


@pytest.mark.slow
def test_where_each_sensor_of_the_heads_comes_from(plans: Path, files: Files) -> None:
    def told(*given: Sensor) -> dict[str, tuple[str, str]]:
        config = msgspec.structs.replace(SIM, engines=str(plans), sensors=[*given])
        found = rows(sensors.sensors(config, files.machine))
        return {name: (check.outcome, check.found) for name, check in found.items()}

    assert told(*SIM.sensors) == {"sensor imu": ("ok", "shape [9], a constant")}
    heard = UdpSensor(name="imu", shape=[9], port=47300)
    spare = UnixSensor(name="force", shape=[6], path="/run/force.sock")
    both = told(heard, spare)
    assert both["sensor imu"] == (
        "ok", "shape [9], heard at 127.0.0.1:47300; holds after 200 ms of silence"
    )  # fmt: skip
    assert both["sensor force"][0] == "warning"
    assert told()["sensor imu"][0] == "failed"
    wrong = UdpSensor(name="imu", shape=[3, 3], port=47300)
    assert told(wrong)["sensor imu"] == (
        "failed", "shape [3, 3] in the robot file, [9] in the checkpoint"
    )  # fmt: skip
    line = SerialSensor(name="imu", shape=[9], channel="/dev/ttyUSB7")
    assert told(line)["sensor imu"] == ("failed", "there is no /dev/ttyUSB7")
    files.put("/dev/ttyUSB7", "")
    assert told(line)["sensor imu"][0] == "ok"
