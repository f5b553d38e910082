"""Every robot file that comes with us: brought up, driven and stopped against emulated motors."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

import neon_edge
from neon_edge.config import load_robot
from neon_edge.sim.launch import simulated
from tests.bench.bench_closed_loop import follow
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


def test_the_g1_has_the_sdks_order_and_mirrored_limits() -> None:
    g1, mixed = load_robot("g1_29"), load_robot("sim")
    assert len(g1.joints) == 29
    assert g1.joint_names == mixed.joint_names
    assert g1.joint_names[12:15] == ["waist_yaw", "waist_roll", "waist_pitch"]
    limits = {joint.name: joint for joint in g1.joints}
    for name, left in limits.items():
        if name.startswith("left_"):
            right = limits["right_" + name.removeprefix("left_")]
            turned = name.split("_", 1)[1] in {"hip_roll", "shoulder_roll"}
            ends = (-right.upper, -right.lower) if turned else (right.lower, right.upper)
            assert (left.lower, left.upper) == ends
            assert (left.velocity, left.effort) == (right.velocity, right.effort)
    assert np.array_equal(
        [(j.lower, j.upper, j.velocity, j.effort) for j in g1.joints],
        [(j.lower, j.upper, j.velocity, j.effort) for j in mixed.joints],
    )
