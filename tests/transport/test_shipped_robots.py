"""Every robot file that comes with us: brought up, driven and stopped against emulated motors."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import neon_edge
from neon_edge.config import load_robot
from neon_edge.sim.launch import simulated
from tests.bench.bench_closed_loop import follow
from tests.config.g1_table import SDK_ORDER
from tests.transport.inline import inline_robot

SHIPPED = sorted(path.stem for path in (Path(neon_edge.__file__).parent / "robots").glob("*.toml"))
PATIENT_TICKS = 7.0
"""Of lag: one for the wire, the rest kd / kp of the softest joint that we ship."""


def test_all_are_here() -> None:
    wanted = {"sim", "g1_29", "so101", "openarm", "openmanipulator_x", "koch", "robstride_biped"}
    assert wanted <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_each_loads_comes_up_and_follows_a_sine(name: str) -> None:
    # Bases are not on a motor bus.
    config = msgspec.structs.replace(load_robot(name), base=None)
    with inline_robot(simulated(config)) as inline:
        clock, period_ns = inline.clock, round(1e9 / config.rate_hz)
        seen = follow(
            inline.robot, config, 6.0, lambda: clock.sleep_until_ns(clock.now_ns() + period_ns)
        )
        counters = inline.robot.counters
        assert not counters.missing.any()
        assert not counters.faults.any()
        assert (seen.error_rad < 0.06).all(), seen.error_rad
        assert ((seen.lag_ticks > 0.5) & (seen.lag_ticks < PATIENT_TICKS)).all(), seen.lag_ticks
        assert ((seen.amplitude > 0.8) & (seen.amplitude < 1.1)).all(), seen.amplitude


@pytest.mark.parametrize("name", ["g1_29", "sim"])
def test_the_g1_has_the_sdks_order_and_the_urdfs_limits(name: str) -> None:
    joints = load_robot(name).joints
    assert [(j.name, j.lower, j.upper, j.effort, j.velocity) for j in joints] == SDK_ORDER


def test_left_and_right_are_mirrored() -> None:
    # Of the table itself: a slip of the pen would show here.
    limits = {name: (lower, upper, rest) for name, lower, upper, *rest in SDK_ORDER}
    for name, (lower, upper, rest) in limits.items():
        if name.startswith("left_"):
            turned = name.split("_", 1)[1] in {"hip_roll", "shoulder_roll"}
            mirrored = (-upper, -lower, rest) if turned else (lower, upper, rest)
            assert limits["right_" + name.removeprefix("left_")] == mirrored
