"""A stop that was asked for is the motion that the robot file names, and then no torque."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.clock import FakeClock
from neon_edge.config import RobotConfig, load_robot
from neon_edge.config.check import check_robot
from neon_edge.config.stopping import CanBeat, Park
from neon_edge.errors import ConfigWrong
from neon_edge.runtime.loop import Ticker
from neon_edge.runtime.observed import Kind, observed_fields
from neon_edge.runtime.parking import Parking
from neon_edge.runtime.replay import replay
from neon_edge.telemetry.mapped import row_dtype
from neon_edge.telemetry.recording import Recorded
from neon_edge.types import Health, JointState, Rung
from tests.cli.live import Live, wait_s
from tests.conftest import ROOT, neon_edge
from tests.safety.bench import Bench
from tests.safety.bench import robot as bench_robot

MS = 1_000_000


def test_lingering_ticks_stay_on_the_grid_and_go_on_counting() -> None:
    clock = FakeClock()
    ticker = Ticker(50.0, clock, 3)
    ticks = list(ticker.ticks())
    clock.advance_ns(45 * MS)  # the stop was slow in coming: two periods are gone
    lingering = list(ticker.linger(5))
    assert [tick.number for tick in ticks] == [0, 1, 2]
    assert [tick.number for tick in lingering] == [4, 5, 6, 7]
    assert {tick.due_ns - ticks[0].due_ns for tick in lingering} == {
        20 * MS * tick.number for tick in lingering
    }
    assert list(ticker.linger(0)) == []


def parked_robot(velocity: float = 0.5) -> RobotConfig:
    pose = {"j0": 0.8, "j2": -1.2}
    return msgspec.structs.replace(
        bench_robot(), stop="park", park=Park(pose=pose, velocity=velocity, within_rad=0.01)
    )


def test_parking_takes_every_named_joint_there_together_and_no_faster_than_it_may() -> None:
    robot = parked_robot()
    bench = Bench(config=robot, driven=[0])
    bench.tick(0.5, features_age_ms=100)
    standing = bench.filter.standing.copy()
    parking = Parking(robot, standing)
    bench.filter.park()
    path = []
    for _ in range(1000):
        bench.now_ns += 20 * MS
        setpoint = parking.setpoint(bench.filter.now.rung, bench.now_ns)
        state = JointState(
            bench.measured, np.zeros(4, np.float32), np.zeros(4, np.float32),
            np.full(4, bench.now_ns, np.int64),
        )  # fmt: skip
        command = bench.filter.filter(setpoint, state, None, Health(), bench.now_ns)
        bench.measured[:] = command.position
        path.append(command.position.copy())
        if parking.ended(command.rung, state):
            break
    assert bench.filter.now.rung is Rung.RUN
    np.testing.assert_allclose(path[-1][[0, 2]], [0.8, -1.2], atol=0.01)
    np.testing.assert_array_equal(path[-1][[1, 3]], standing[[1, 3]])
    speed = np.abs(np.diff(path, axis=0)).max() * 50
    assert 0.9 * 0.5 < speed <= 0.5 * 1.001
    # Features come back with the next start, and so do the heads' joints.
    bench.filter.start(bench.measured, bench.now_ns)
    assert bench.tick(0.0, features_age_ms=None).rung is Rung.HOLD


def test_a_held_robot_parks_no_further_and_a_damped_one_has_ended() -> None:
    robot = parked_robot()
    parking = Parking(robot, np.zeros(4, np.float32))
    first = parking.setpoint(Rung.RUN, 0).position.copy()
    assert (parking.setpoint(Rung.HOLD, 0).position == first).all()
    assert (parking.setpoint(Rung.SCALE, 0).position != first).any()
    still = JointState(*(np.zeros(4, np.float32),) * 3, np.zeros(4, np.int64))
    assert not parking.ended(Rung.HOLD, still)
    assert parking.ended(Rung.DAMP, still)
    with pytest.raises(ValueError, match="no pose"):
        Parking(bench_robot(), np.zeros(4, np.float32))


def test_a_pose_to_park_in_is_checked() -> None:
    robot = parked_robot()
    check_robot(robot)
    for wrong, words in (
        (msgspec.structs.replace(robot, park=None), "nobody says where"),
        (msgspec.structs.replace(robot, park=Park(pose={"tail": 0.0})), "does not exist"),
        (msgspec.structs.replace(robot, park=Park(pose={"j0": 0.99})), "outside its limits"),
        (msgspec.structs.replace(robot, park=Park(pose={"j0": float("nan")})), "outside"),
    ):
        with pytest.raises(ConfigWrong, match=words):
            check_robot(wrong)


def test_a_heartbeat_needs_a_bus_that_is_there() -> None:
    check_robot(msgspec.structs.replace(bench_robot(), heartbeat=CanBeat(bus="b", id=0x700)))
    with pytest.raises(ConfigWrong, match="no CAN bus here"):
        check_robot(msgspec.structs.replace(bench_robot(), heartbeat=CanBeat(bus="c", id=0x700)))


@pytest.mark.slow
def test_a_robot_whose_backbone_is_dead_parks_and_replays(plans: Path, tmp_path: Path) -> None:
    text = (ROOT / "neon_edge" / "robots" / "sim.toml").read_text()
    pose = {"left_knee": 0.6, "waist_yaw": 0.4, "right_elbow": 0.5}
    robot = tmp_path / "sim.toml"
    wanted = "\n".join(f"{name} = {at}" for name, at in pose.items())
    robot.write_text(
        text.replace("rate_hz =", 'stop = "park"\nstop_s = 0.5\nrate_hz =', 1)
        + f'\n[park]\nvelocity = 1.0\nthen = "hold"\n[park.pose]\n{wanted}\n'
    )
    path = tmp_path / "run.mcap"
    live = Live(plans, "--record", str(path), robot=str(robot))
    live.until_ticking()
    live.hurt("neon_edge.runtime.backbone", signal.SIGSTOP)
    live.until(Rung.HOLD)
    where = ("--socket", str(live.directory / "neon-edge.sock"))
    ended = neon_edge("stop", "--end", *where)
    assert ended.returncode == 0, ended.stderr
    assert "park" in ended.stderr
    live.hurt("neon_edge.runtime.backbone", signal.SIGCONT)
    code, _, err = live.end()
    assert code == 0, err
    payloads = [m.payload for m in Recorded(path).messages() if m.topic == "/neon_edge/rows"]
    rows = np.frombuffer(b"".join(payloads), row_dtype(observed_fields(29)))
    names = load_robot("sim").joint_names
    places = [names.index(name) for name in pose]
    assert (rows["kind"] == Kind.PARK).any()
    assert (rows["kind"][-25:] == Kind.UNASKED).all()
    np.testing.assert_allclose(rows["position"][-1][places], list(pose.values()), atol=0.1)
    assert replay(path).differing == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stop", "rung", "kind"), [("hold", Rung.HOLD, Kind.UNASKED), ("damp", Rung.DAMP, Kind.UNASKED)]
)
def test_the_robot_stops_as_its_file_says(
    plans: Path, tmp_path: Path, stop: str, rung: Rung, kind: Kind
) -> None:
    text = (ROOT / "neon_edge" / "robots" / "sim.toml").read_text()
    robot = tmp_path / "sim.toml"
    robot.write_text(text.replace("rate_hz =", f'stop = "{stop}"\nstop_s = 1.0\nrate_hz =', 1))
    path = tmp_path / "run.mcap"
    live = Live(plans, "--record", str(path), robot=str(robot))
    live.until_ticking()
    wait_s(4)
    live.run.terminate()
    code, out, err = live.end()
    assert code == 0, err
    joints = 29
    payloads = [m.payload for m in Recorded(path).messages() if m.topic == "/neon_edge/rows"]
    rows = np.frombuffer(b"".join(payloads), row_dtype(observed_fields(joints)))
    last, before = rows[-50:], rows[-60:-50]
    assert (last["rung"] == rung).all()
    assert (last["kind"] == kind).all()
    assert (before["rung"] < Rung.HOLD).all()
    np.testing.assert_array_equal(np.diff(rows["number"][-60:]), 1)
    if stop == "hold":
        # It brakes within its acceleration limits, and then it stands.
        pose = last["command_position"]
        np.testing.assert_array_equal(pose[25:], np.broadcast_to(pose[-1], pose[25:].shape))
        np.testing.assert_allclose(pose[-1], before["command_position"][-1], atol=0.05)
        assert (last["command_kp"] > 0).all()
    else:
        assert not last["command_kp"].any()
    assert json.loads(out)["ticks"] == int((rows["number"] >= 0).sum())
    assert replay(path).differing == 0
