"""Rows of the fault table as tests: the right rung, in time by ticks, and the way back.

Times in ms, misses and all rows with twenty kills each: `bench_faults.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import bench_faults
from tests.bench.fault_bed import SLACK_TICKS, Bed, Outcome
from tests.bench.fault_ends import bus_off, full_disk, killed_backbone, killed_control
from tests.bench.fault_rows import GENTLE
from tests.bench.fault_world import CAMERA, Feed, camera_bed, wall_clock

pytestmark = pytest.mark.slow


def well(outcome: Outcome) -> None:
    """As it must be, and no tick was missed that the loop itself took too long for.

    What other processes or a host kept it from is theirs: a busy machine is not what is tried here.
    """
    assert outcome.wrong == ""
    assert outcome.too_long == 0, outcome


@pytest.fixture(scope="module")
def gentle(plans: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    bed = Bed(plans, tmp_path_factory.mktemp("gentle"))
    try:
        bed.ready()
        yield bed
    finally:
        bed.close()


@pytest.fixture(scope="module")
def seeing(plans: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bed, Feed]]:
    with camera_bed(plans, tmp_path_factory.mktemp("camera")) as opened:
        yield opened


@pytest.mark.parametrize("name", GENTLE)
def test_a_run_survives(gentle: Bed, name: str) -> None:
    gentle.mark()
    outcome = GENTLE[name](gentle)
    well(outcome)
    assert outcome.late_ticks <= SLACK_TICKS


@pytest.mark.parametrize("name", CAMERA)
def test_a_camera_that_fails_is_noticed(seeing: tuple[Bed, Feed], name: str) -> None:
    seeing[0].mark()
    well(CAMERA[name](*seeing))


def test_a_bus_off_ends_the_run_and_leaves_no_motor_pulling(plans: Path, tmp_path: Path) -> None:
    outcome = bench_faults.alone(plans, tmp_path, bus_off, "bus off")
    assert outcome.wrong == ""
    assert "holds" not in outcome.motors


def test_a_full_disk_costs_the_recording_and_nothing_else(plans: Path, tmp_path: Path) -> None:
    record = ("--record", str(tmp_path / "run.mcap"))
    well(bench_faults.alone(plans, tmp_path, full_disk, "full disk", *record))


def test_a_control_process_killed_twice_comes_back_disarmed_twice(
    plans: Path, tmp_path: Path
) -> None:
    killed = bench_faults.alone(plans, tmp_path, lambda b: killed_control(b, 2), "control")
    well(killed)


def test_a_backbone_killed_twice_comes_back_twice(plans: Path, tmp_path: Path) -> None:
    killed = bench_faults.alone(plans, tmp_path, lambda b: killed_backbone(b, 2), "backbone")
    well(killed)


def test_nobody_looks_at_the_wall_clock(plans: Path, tmp_path: Path) -> None:
    outcome = wall_clock(plans, tmp_path, 3.0)
    if outcome.wrong == "no C compiler":
        pytest.skip(outcome.wrong)
    well(outcome)
