"""Given rows stay as given, the others follow the head, and only a head trained so is let in."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from neon_edge.config import load_robot
from neon_edge.config.heads import HeadsChoice
from neon_edge.errors import ConfigWrong
from neon_edge.heads.blend import Blended
from neon_edge.heads.prefix import Prefix, PrefixHeads
from neon_edge.heads.rtc import rebased
from neon_edge.heads.strategy import open_strategy, refuse_backbone
from neon_edge.types import Features
from tests.heads.test_guided import TICK_NS, contracting, latent, network, play, seen

ROWS = 4


def prefixed(rows: int = ROWS, **choice: Any) -> tuple[PrefixHeads, Any]:
    engine = contracting()
    net = network(engine)
    net.prefix_rows = rows
    return PrefixHeads(net, HeadsChoice(strategy="prefix", **choice), 2, 100), engine


def test_the_given_rows_are_the_old_chunks_and_the_others_the_heads() -> None:
    heads, engine = prefixed(execute=5)
    play(heads, seen(0.5, 1), range(3))
    old = latent(engine)
    play(heads, seen(-0.5, 2), range(3, 4))
    new = latent(engine)
    engine.guide = None
    engine.start()
    assert np.array_equal(new[:ROWS], old[3 : 3 + ROWS])
    assert np.array_equal(new[ROWS:], latent(engine)[ROWS:])


def test_the_first_velocity_already_sees_the_given_rows() -> None:
    target = np.full((2, 3), 0.7, np.float32)
    x = np.zeros((1, 5, 3), np.float32)
    guide = Prefix(target, np.zeros((5, 3), np.float32))
    guide.begin(np.zeros_like(x), np.ones_like(x), x)
    assert (x[0, :2] == np.float32(0.7)).all() and not x[0, 2:].any()


def test_a_relative_heads_rows_are_moved_to_its_new_base() -> None:
    old, new = np.zeros((5, 3), np.float32), np.full((5, 3), 0.1, np.float32)
    gain, target = np.full((1, 5, 3), 2, np.float32), np.full((2, 3), 0.3, np.float32)
    x = np.zeros((1, 5, 3), np.float32)
    Prefix(target, old).begin(new[None], gain, x)
    assert x[0, :2] == pytest.approx(rebased(target, old[:2], new[:2], gain[0, :2]))
    assert new[:2] + 2 * np.tanh(x[0, :2]) == pytest.approx(2 * np.tanh(target), abs=1e-6)


def test_what_is_left_of_a_chunk_bounds_the_rows() -> None:
    heads, engine = prefixed(rows=12, execute=10)
    play(heads, seen(0.5, 1), range(10))
    old = latent(engine)
    play(heads, seen(-0.5, 1), range(10, 11))
    new = latent(engine)
    assert np.array_equal(new[:6], old[10:])
    assert not np.array_equal(new[6:12], np.zeros_like(new[6:12]))


def test_untrained_heads_are_refused_with_the_reason() -> None:
    robot = msgspec.structs.replace(load_robot("sim"), heads=HeadsChoice(strategy="prefix"))
    with pytest.raises(ConfigWrong, match="not trained to continue") as refused:
        open_strategy(robot, network(contracting()))
    assert "prefix_rows = 0" in refused.value.facts
    assert "neon_edge_prefix_rows" in refused.value.fix


def test_trained_heads_are_chosen_in_the_robot_file() -> None:
    net = network(contracting())
    net.prefix_rows = ROWS
    robot = msgspec.structs.replace(load_robot("sim"), heads=HeadsChoice(strategy="prefix"))
    heads = open_strategy(robot, net)
    assert isinstance(heads, Blended) and isinstance(heads.inner, PrefixHeads)


def test_a_backbone_that_needs_more_rows_than_trained_is_refused() -> None:
    heads, _ = prefixed(laid="picture")
    late = Features(np.zeros(4, np.float32), 0, 4 * TICK_NS, 1, 1)
    with pytest.raises(ConfigWrong, match="fewer rows") as refused:
        refuse_backbone(heads, late, 50.0)
    assert "at most 4, delay d = 5" in refused.value.facts
    refuse_backbone(heads, Features(late.pooled, 0, 3 * TICK_NS, 1, 1), 50.0)
    refuse_backbone(prefixed()[0], late, 50.0)
