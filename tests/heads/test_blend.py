"""A swap of features never jumps, whatever the strategy; between swaps nothing is delayed."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.config import load_robot
from neon_edge.config.heads import HeadsChoice
from neon_edge.heads.blend import Blended, fading
from neon_edge.heads.strategy import Heads, open_strategy
from neon_edge.types import Features, Float32, JointState, Setpoint
from tests.heads.test_strategies import Ramp, network, play, seen

TICKS = 10


class Played:
    """A strategy that wants what it is told, per tick: (made from, position, base velocity)."""

    def __init__(self, wants: list[tuple[int, float, float] | None]) -> None:
        self.driven = np.array([0])
        self._wants = wants

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int, tick: int
    ) -> Setpoint | None:
        want = self._wants[tick]
        if want is None:
            return None
        made_from, position, base = want
        pose, velocity = np.full(1, position, np.float32), np.full(3, base, np.float32)
        return Setpoint(pose, velocity, made_from, at_ns)


STATE = JointState(*(np.zeros(1, np.float32),) * 3, np.ones(1, np.int64))


def blended(wants: list[Any], ticks: int = TICKS) -> Float32:
    """Position and one base velocity of every tick; NaN where there was no setpoint."""
    heads = Blended(Played(wants), ticks, 1)
    rows = []
    for tick in range(len(wants)):
        made = heads.setpoint(None, STATE, tick, tick)
        rows.append([np.nan] * 2 if made is None else [made.position[0], made.base_velocity[0]])
    return np.array(rows, np.float32)


def test_a_step_becomes_a_minimum_jerk_motion_and_arrives() -> None:
    wants = [(1, 0.0, 0.0)] * 5 + [(2, 1.0, -2.0)] * (TICKS + 5)
    made = blended(wants)
    u = np.clip((np.arange(len(wants)) - 5) / TICKS, 0, 1)
    rising = 10 * u**3 - 15 * u**4 + 6 * u**5
    np.testing.assert_allclose(made[:, 0], rising, atol=1e-6)
    np.testing.assert_allclose(made[:, 1], -2 * rising, atol=1e-6)


def test_a_motion_goes_on_at_its_speed_through_a_swap() -> None:
    wants = [(1, 0.1 * k, 0.0) for k in range(6)] + [(2, 0.1 * k, 0.0) for k in range(6, 30)]
    np.testing.assert_allclose(blended(wants)[:, 0], 0.1 * np.arange(30), atol=1e-5)


def test_between_swaps_nothing_is_delayed() -> None:
    random = np.random.default_rng(0)
    wants = [(1, float(value), 0.0) for value in random.normal(size=20)]
    np.testing.assert_allclose(blended(wants)[:, 0], [want[1] for want in wants], atol=1e-7)


@given(
    st.lists(st.tuples(st.integers(1, 14), st.floats(-2, 2)), min_size=1, max_size=8),
    st.integers(2, 25),
)
def test_swaps_upon_swaps_stay_smooth(swaps: list[tuple[int, float]], ticks: int) -> None:
    wants: list[Any] = [(0, 0.0, 0.0)] * 3
    for number, (length, level) in enumerate(swaps, 1):
        wants += [(number, level, 0.0)] * length
    wants += [wants[-1]] * ticks
    made = blended(wants, ticks)[:, 0].astype(np.float64)
    jumps = [abs(b[1] - a[1]) for a, b in zip([(0, 0.0), *swaps], swaps, strict=False)]
    # A minimum-jerk step of size 1 over T: 1.875 / T at its fastest; blends of n swaps may add up.
    assert np.abs(np.diff(made)).max() <= 1.875 / ticks * sum(jumps) * 1.6 + 1e-5
    assert made[-1] == pytest.approx(wants[-1][1], abs=1e-5)


def test_a_tick_without_a_setpoint_ends_a_blend() -> None:
    wants: list[Any] = [(1, 0.0, 0.0), (1, 0.0, 0.0), (2, 1.0, 0.0), None, (2, 1.0, 0.0)]
    made = blended(wants)[:, 0]
    assert made[2] == 0 and np.isnan(made[3]) and made[4] == 1


def test_what_is_not_finite_passes_and_does_not_stay() -> None:
    nan, inf = float("nan"), float("inf")
    wants: list[Any] = [(1, 0.0, 0.0), (1, nan, 0.0), (2, 0.5, 0.0), (2, 0.5, inf), (3, 0.5, 0.0)]
    made = blended(wants)
    assert np.isnan(made[1, 0]) and np.isinf(made[3, 1])
    assert made[[0, 2, 4], 0].tolist() == [0, 0.5, 0.5]


@pytest.mark.parametrize("ticks", [2, 10, 50])
def test_the_polynomials_begin_as_asked_and_end_at_rest(ticks: int) -> None:
    table = fading(ticks)
    np.testing.assert_allclose(table[0], np.eye(3), atol=1e-9)
    np.testing.assert_allclose(table[-1], 0, atol=1e-9)


@pytest.mark.parametrize("name", ["fresh", "chunk", "ensemble"])
def test_every_strategy_is_blended_unless_the_robot_file_says_no(name: Any) -> None:
    def jump(choice: HeadsChoice) -> float:
        robot = load_robot("sim")
        pair = [msgspec.structs.replace(robot.joints[0], name=joint) for joint in "ab"]
        robot = msgspec.structs.replace(robot, joints=pair, heads=choice)
        heads: Heads = open_strategy(robot, network(Ramp()))
        feed = {0: seen(0, 1, 0), 4: seen(100, 2, 4)}
        return float(np.abs(np.diff(play(heads, feed, 8))).max())

    bare = jump(HeadsChoice(strategy=name, blend_s=0))
    assert bare > 10
    assert jump(HeadsChoice(strategy=name)) < 0.75 * bare
