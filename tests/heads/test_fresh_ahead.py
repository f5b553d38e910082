"""`fresh` looking ahead: the same on an even motion, and a head's error counts for less."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from neon_edge.config import load_robot
from neon_edge.config.heads import HeadsChoice
from neon_edge.engine.contract import Array
from neon_edge.errors import ConfigWrong
from neon_edge.heads.fresh import FreshHeads
from neon_edge.heads.strategy import open_strategy
from neon_edge.types import Features
from tests.heads.test_strategies import STEPS, Ramp, network, seen, state

SPEED = 0.01
ERROR = 0.03


class Mover:
    """Wants joint a to move on at SPEED a tick from where it stands, but errs by `error`."""

    def __init__(self, error: float) -> None:
        self.inputs: dict[str, Array] = {
            "pooled": np.zeros((1, 4), np.float32),
            "joints": np.zeros((1, 2), np.float32),
        }
        self.outputs: dict[str, Array] = {"chunk": np.zeros((1, STEPS, 2), np.float32)}
        self._error = error

    def start(self) -> None:
        ahead = SPEED * np.arange(1, STEPS + 1)
        self.outputs["chunk"][0, :, 0] = self.inputs["joints"][0, 0] + ahead - self._error

    def wait(self) -> None: ...

    def close(self) -> None: ...


def followed(ahead: int, error: float, ticks: int = 50) -> list[float]:
    """Where joint a goes if it follows every setpoint at once."""
    heads = FreshHeads(network(Mover(error)), ahead)
    at, went = 0.0, []
    for tick in range(ticks):
        setpoint = heads.setpoint(seen(0, 1, 0), state(at), tick, tick)
        assert setpoint is not None
        at = float(setpoint.position[0])
        went.append(at)
    return went


@pytest.mark.parametrize("ahead", range(STEPS))
def test_an_even_motion_is_the_same_however_far_it_looks(ahead: int) -> None:
    assert followed(ahead, 0.0) == pytest.approx(SPEED * np.arange(1, 51), abs=1e-5)


def test_a_head_that_errs_by_more_than_a_ticks_motion_goes_on() -> None:
    assert followed(0, ERROR)[-1] < 0
    assert followed(7, ERROR)[-1] > 0.5 * SPEED * 50


def test_at_zero_it_is_row_zero_bit_for_bit() -> None:
    one, other = FreshHeads(network(Ramp())), FreshHeads(network(Ramp()), 0)
    for tick in range(5):
        wanted = [h.setpoint(seen(0.3, 1, 0), state(0.7), tick, tick) for h in (one, other)]
        first, second = (np.array(each and each.position) for each in wanted)
        assert first.tobytes() == second.tobytes() == np.float32([1.0, -1.0]).tobytes()


def test_it_begins_at_the_joints_and_again_behind_a_gap_or_a_nan() -> None:
    heads = FreshHeads(network(Ramp()), 3)

    def wanted(features: Features | None, at: float) -> Any:
        setpoint = heads.setpoint(features, state(at), 1, 1)
        return None if setpoint is None else float(setpoint.position[0])

    # Row 3 is the joints' place plus 3: a quarter of the way from them is 0.75 further on.
    assert wanted(seen(0, 1, 0), 10.0) == 10.75
    assert wanted(seen(0, 1, 0), 10.0) == pytest.approx(10.75 + 2.25 / 4)
    assert wanted(None, 10.0) is None
    assert wanted(seen(0, 1, 0), 20.0) == 20.75
    assert np.isnan(wanted(seen(float("nan"), 2, 0), 20.0))
    assert wanted(seen(0, 3, 0), 30.0) == 30.75


def test_blind_heads_begin_at_row_zero() -> None:
    engine = Ramp()
    own = network(engine)
    own._joints = None
    setpoint = FreshHeads(own, 1).setpoint(seen(5, 1, 0), state(0), 1, 1)
    assert setpoint is not None
    assert setpoint.position[0] == 5.5


def test_it_is_chosen_in_the_robot_file_and_refused_beyond_the_chunk() -> None:
    def robot(ahead: Any) -> Any:
        choice = HeadsChoice(ahead=ahead, blend_s=0)
        return msgspec.structs.replace(load_robot("sim"), heads=choice)

    assert isinstance(open_strategy(robot(STEPS - 1), network(Ramp())), FreshHeads)
    with pytest.raises(ConfigWrong, match="so far ahead") as refused:
        open_strategy(robot(STEPS), network(Ramp()))
    assert f"a chunk has {STEPS} rows" in refused.value.facts


@pytest.mark.parametrize(("samples", "ahead"), [(True, 7), (False, 0)])
def test_heads_that_sample_look_ahead_by_themselves(samples: bool, ahead: int) -> None:
    own = network(Ramp())
    own.samples = samples
    robot = msgspec.structs.replace(load_robot("sim"), heads=HeadsChoice(blend_s=0))
    heads = open_strategy(robot, own)
    setpoint = heads.setpoint(seen(0, 1, 0), state(10.0), 1, 1)
    assert setpoint is not None
    # Row k of a Ramp is the joints' place plus k.
    assert setpoint.position[0] == 10 + ahead / (ahead + 1)


def test_a_short_chunk_is_looked_at_to_its_end() -> None:
    own = network(Ramp())
    own.samples, own.steps = True, 1
    robot = msgspec.structs.replace(load_robot("sim"), heads=HeadsChoice(blend_s=0))
    setpoint = open_strategy(robot, own).setpoint(seen(0, 1, 0), state(10.0), 1, 1)
    assert setpoint is not None
    assert setpoint.position[0] == 10
