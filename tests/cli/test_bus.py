"""`neon-edge bus` on emulated motors behind real channels: what it prints, refuses and warns of."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import can
import msgspec
import pytest

from neon_edge.cli import bus_look
from neon_edge.cli.main import main
from neon_edge.clock import MonotonicClock
from neon_edge.config import CanBus, RobotConfig, SerialBus, UdpBase
from neon_edge.config.stopping import PipeStop, UdpBeat
from neon_edge.runtime import driven
from neon_edge.runtime.spec import RunSpec, write_spec
from neon_edge.sim import Simulation, start_sim, with_channels
from neon_edge.transport import open_bus
from neon_edge.types import BusFrame
from tests.cli.live import write_robot
from tests.conftest import ROOT
from tests.transport.families import robot_of
from tests.transport.inline import InlineRig

CLOCK = MonotonicClock()


class Rig:
    """A robot's emulated motors, and the file that names their channels."""

    def __init__(self, robot: RobotConfig, folder: Path) -> None:
        self.sim: Simulation = start_sim(robot, folder / "sim")
        self.robot = with_channels(robot, self.sim.channels)
        self.file = write_robot(folder / f"{robot.name}.toml", self.robot)

    def bus(self, *words: str) -> int:
        return main(["bus", *words, "--robot", str(self.file)])


Make = Callable[[RobotConfig], Rig]


@pytest.fixture
def rig_of(tmp_path: Path) -> Iterator[Make]:
    made: list[Rig] = []

    def make(robot: RobotConfig) -> Rig:
        made.append(Rig(robot, tmp_path))
        return made[-1]

    yield make
    for rig in made:
        rig.sim.stop()


def test_ping_names_every_joint_and_warns_of_gravity_first(
    rig_of: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = rig_of(robot_of("damiao"))
    assert rig.bus("ping") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        [f"joint_{k}", "damiao", str(k + 1)] for k in range(3)
    ]
    assert "watchdog 300 ms tripped" in lines[0]
    assert err.startswith("warning: finding the motors takes the torque off on bus 'line'")
    assert "gravity" in err


@pytest.mark.parametrize("family", ["moteus", "unitree", "dynamixel"])
def test_scan_finds_everyone(family: str, rig_of: Make, capsys: pytest.CaptureFixture[str]) -> None:
    rig = rig_of(robot_of(family))
    assert rig.bus("scan") == 0
    out, err = capsys.readouterr()
    assert [line.split()[:2] for line in out.splitlines()] == [[family, str(k)] for k in (1, 2, 3)]
    # The only question of a Unitree motor is a command.
    assert ("takes the torque off" in err) == (family == "unitree")


def test_an_fd_bus_is_scanned_with_fd_frames(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    robot = msgspec.structs.replace(robot_of("damiao"), buses=[CanBus("line", "sim", fd=True)])
    rig, heard = InlineRig(robot), list[BusFrame]()
    send = rig.bus.send
    rig.bus.send = lambda frames: (heard.extend(frames), send(frames))[1]  # type: ignore[method-assign]
    monkeypatch.setattr(bus_look, "open_bus", lambda config, clock: rig.bus)
    assert bus_look.scan_bus(robot, Namespace(what=[]), rig.clock) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert all(frame.fd and frame.bit_rate_switch for frame in heard)


def test_what_cannot_be_scanned_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    robot = robot_of("damiao")
    spare = [*robot.buses, SerialBus("spare", "/dev/none")]
    file = write_robot(tmp_path / "r.toml", msgspec.structs.replace(robot, buses=spare))
    for words, told in (
        (["--bus", "spare"], "which family is to be asked?"),
        (["damiao", "--bus", "spare"], "bus 'spare' cannot carry damiao motors"),
        (["feetech", "--bus", "line"], "bus 'line' cannot carry feetech motors"),
        (["moteus", "--bus", "line"], "bus 'line' cannot carry moteus motors"),
        (["hydraulic", "--bus", "line"], "no family called 'hydraulic'"),
    ):
        assert main(["bus", "scan", *words, "--robot", str(file)]) == 2
        assert told in capsys.readouterr().err


def test_dump_writes_what_python_can_reads(rig_of: Make) -> None:
    rig = rig_of(robot_of("odrive"))
    dumped = subprocess.run(
        [sys.executable, "-m", "neon_edge", "bus", "dump", "--robot", str(rig.file),
         "--seconds", "0.5"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    messages = list(can.CanutilsLogReader(io.StringIO(dumped.stdout)))
    # Heartbeats and estimates, unasked, of three axes.
    assert {m.arbitration_id for m in messages} == {n << 5 | c for n in (1, 2, 3) for c in (1, 9)}
    assert all(len(m.data) == 8 for m in messages)
    stamps = [m.timestamp for m in messages]
    assert stamps == sorted(stamps)
    assert stamps[0] > 1.6e9


def test_send_puts_frames_on_the_bus(rig_of: Make, capsys: pytest.CaptureFixture[str]) -> None:
    rig = rig_of(robot_of("damiao"))
    assert rig.bus("send", "001#FFFFFFFFFFFFFFFC", "002#FFFFFFFFFFFFFFFC") == 0
    assert capsys.readouterr().out == "2 of 2 sent\n"
    bus = open_bus(rig.robot.buses[0], CLOCK)
    bus.send([BusFrame(0x7FF, bytes.fromhex("0100CC0000000000"))])
    CLOCK.sleep_until_ns(CLOCK.now_ns() + 300_000_000)
    answer = bus.receive_ready()[-1]
    bus.close()
    assert answer.payload[0] >> 4 == 1  # enabled


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["FFF#00"], "beyond 11 bits"),
        (["FFFFFFFF#11"], "beyond 29 bits"),
        (["12#00"], "is not ID#DATA"),
        (["123##100"], "fd = false"),
        ([], "no frame was given"),
    ],
)
def test_what_is_no_frame_is_not_sent(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_robot(tmp_path / "r.toml", robot_of("damiao"))
    assert main(["bus", "send", *words, "--robot", str(file)]) == 2
    assert told in capsys.readouterr().err


def test_a_serial_bus_has_no_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_robot(tmp_path / "r.toml", robot_of("feetech"))
    for action in ("send", "dump"):
        assert main(["bus", action, "123#00", "--robot", str(file)]) == 2
        assert "line is serial" in capsys.readouterr().err


def test_nobody_at_the_keyboard_is_no_yes(
    rig_of: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = rig_of(robot_of("damiao"))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert rig.bus("wiggle", "joint_0") == 2
    assert "nobody answers" in capsys.readouterr().err
    before = rig.file.read_text()
    assert rig.bus("home") == 2
    assert "nobody answers" in capsys.readouterr().err
    assert rig.file.read_text() == before
    assert rig.sim.received().sum() == 0


def test_wiggle_moves_one_joint_and_beats_beside_it(
    rig_of: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A base that does not answer is none of its business.
    robot = msgspec.structs.replace(
        robot_of("damiao"),
        heartbeat=UdpBeat("127.0.0.1", 9),
        base=UdpBase("127.0.0.1:9"),
    )
    rig = rig_of(robot)
    assert rig.bus("wiggle", "joint_1", "--yes", "--degrees", "3") == 0
    out, err = capsys.readouterr()
    assert out.startswith("joint_1: asked ±3°, went -")
    low, high = (float(word.rstrip("°,")) for word in out.split() if word[0] in "+-")
    assert -3.3 < low < -2.5 < 2.5 < high < 3.3
    assert "gravity" in err


def test_wiggle_obeys_the_e_stop_input(
    rig_of: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "stop"
    os.mkfifo(pipe)
    rig = rig_of(msgspec.structs.replace(robot_of("damiao"), stop_input=PipeStop(str(pipe), 100.0)))
    assert rig.bus("wiggle", "joint_0", "--yes") == 69
    assert "the e-stop is pressed" in capsys.readouterr().err
    assert rig.sim.received().sum() == 0


@pytest.mark.parametrize("action", ["ping", "wiggle", "home", "scan", "send"])
def test_motors_that_a_run_drives_are_left_alone(
    action: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    robot = msgspec.structs.replace(robot_of("damiao"), buses=[CanBus("line", "can7")])
    robot = msgspec.structs.replace(robot, simulated=False)
    run = tmp_path / f"neon-edge-{os.getpid()}-x"
    run.mkdir()
    write_spec(RunSpec(robot=robot, plans="", directory=str(run)))
    monkeypatch.setattr(driven, "place", lambda: tmp_path)
    file = write_robot(tmp_path / "r.toml", robot)
    assert main(["bus", action, "joint_0", "--robot", str(file), "--yes"]) == 2
    told = capsys.readouterr().err
    assert "a run drives these motors" in told
    assert "can7" in told
    assert main(["doctor", "--robot", str(file), "--motors"]) == 1
    assert "a run drives these motors" in capsys.readouterr().out


def test_a_device_under_another_name_is_the_same_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ttyX0").touch()
    (tmp_path / "by-id").symlink_to(tmp_path / "ttyX0")
    names = [str(tmp_path / name) for name in ("ttyX0", "by-id")]
    first, second = (
        msgspec.structs.replace(robot_of("feetech"), buses=[SerialBus("line", name)])
        for name in names
    )
    run = tmp_path / f"neon-edge-{os.getpid()}-x"
    run.mkdir()
    write_spec(RunSpec(robot=first, plans="", directory=str(run)))
    monkeypatch.setattr(driven, "place", lambda: tmp_path)
    with pytest.raises(driven.UsageWrong, match="a run drives"):
        driven.refuse_driven(second)
