"""Guided chunks continue the last one where they must, and are free where nothing was planned."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from neon_edge.config import load_robot
from neon_edge.config.heads import HeadsChoice
from neon_edge.engine.contract import Array
from neon_edge.engine.euler import EulerEngine
from neon_edge.engine.manifest import HeadsManifest, Part, TensorSpec
from neon_edge.errors import ConfigWrong
from neon_edge.heads.blend import Blended
from neon_edge.heads.fared import warnings_of
from neon_edge.heads.guided import GuidedHeads
from neon_edge.heads.network import HeadNetwork
from neon_edge.heads.prefix import PrefixHeads
from neon_edge.heads.strategy import open_strategy, refuse_backbone
from neon_edge.types import Features, JointState
from tests.heads.told import told_of

STEPS, EULER = 16, 4
NAMES = ["a", "b"]
TICK_NS = 20_000_000
CHUNK = (1, STEPS, len(NAMES))


class Stub:
    """An engine made of a function from inputs to outputs."""

    def __init__(self, inputs: dict[str, Any], outputs: dict[str, Any], run: Any) -> None:
        self.inputs: dict[str, Array] = {k: np.zeros(v, np.float32) for k, v in inputs.items()}
        self.outputs: dict[str, Array] = {k: np.zeros(v, np.float32) for k, v in outputs.items()}
        self.runs = 0
        self._run = run

    def start(self) -> None:
        self.runs += 1
        self._run(self.inputs, self.outputs)

    def wait(self) -> None:
        pass

    def close(self) -> None:
        pass


def contracting() -> EulerEngine:
    """A flow towards the pooled feature: v = feature - x. Rows do not see each other."""

    def condition(given: Any, made: Any) -> None:
        made["modulation"][:] = given["pooled"][0, 0]
        made["base"][:] = 0.25
        made["gain"][:] = 2.0

    def velocity(given: Any, made: Any) -> None:
        made["velocity"][:] = given["modulation"][0, 0] - given["x"]

    def pullback(given: Any, made: Any) -> None:
        made["pulled"][:] = -given["error"]

    seen = {"pooled": (1, 4), "joints": (1, 2)}
    outs = {"modulation": (EULER, 1), "base": CHUNK, "gain": CHUNK}
    step = {"x": CHUNK, "modulation": (1, 1)}
    return EulerEngine(
        Stub(seen, outs, condition),
        Stub(step, {"velocity": CHUNK}, velocity),
        Stub({**step, "error": CHUNK}, {"pulled": CHUNK}, pullback),
    )


def network(engine: Any, prefix_rows: int = 0) -> HeadNetwork:
    part = Part(name="heads", onnx="heads.onnx", onnx_sha256="", inputs=[], outputs=[])
    manifest = HeadsManifest(
        checkpoint="c", checkpoint_sha256="", backbone_id="b", backbone_hash="0" * 16,
        head_type="flow", control_mode="x", joint_names=NAMES, base_velocity=False, steps=STEPS,
        sensors=[], part=part,
        noise=TensorSpec("noise", list(CHUNK)) if "noise" in engine.inputs else None,
        prefix_rows=prefix_rows,
    )  # fmt: skip
    return HeadNetwork(engine, manifest, NAMES, {})


def guided(**choice: Any) -> tuple[GuidedHeads, EulerEngine]:
    engine = contracting()
    chosen = HeadsChoice(strategy="rtc", **choice)
    return GuidedHeads(network(engine), chosen, 2, 100), engine


def seen(value: float, sequence: int, tick: float = 0) -> Features:
    at = round(tick * TICK_NS)
    return Features(np.full(4, value, np.float32), at, at, sequence, 1)


STATE = JointState(
    np.zeros(2, np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32), np.ones(2, np.int64)
)


def play(heads: GuidedHeads, features: Features | None, ticks: range) -> np.ndarray:
    rows = []
    for tick in ticks:
        setpoint = heads.setpoint(features, STATE, tick * TICK_NS + 1, tick)
        rows.append(np.full(2, np.nan) if setpoint is None else setpoint.position.copy())
    return np.array(rows)


def conditions(engine: EulerEngine) -> int:
    assert isinstance(engine._condition, Stub)
    return engine._condition.runs


def latent(engine: EulerEngine) -> np.ndarray:
    return engine.outputs["latent"][0].copy()


def test_without_features_there_is_nothing_to_want() -> None:
    heads, _ = guided()
    assert np.isnan(play(heads, None, range(3))).all()


def test_a_chunk_is_played_for_execute_ticks_and_then_made_again() -> None:
    heads, engine = guided(execute=5)
    play(heads, seen(0.3, 1), range(11))
    assert conditions(engine) == 3


def test_setpoints_are_the_chunk_rows_in_order() -> None:
    heads, engine = guided(execute=5)
    played = play(heads, seen(0.3, 1), range(5))
    assert played == pytest.approx(0.25 + 2 * np.tanh(latent(engine)[:5]), abs=1e-6)


@pytest.mark.parametrize("jacobian", ["free", "true"])
def test_new_features_continue_the_old_chunk_and_are_free_behind_it(jacobian: Any) -> None:
    heads, engine = guided(execute=6, jacobian=jacobian)
    play(heads, seen(0.5, 1), range(4))
    old = latent(engine)[4:]
    play(heads, seen(-0.5, 2), range(4, 5))
    new = latent(engine)
    engine.guide = None
    engine.start()
    alone = latent(engine)
    held, free = np.abs(new[:12] - old), np.abs(alone[:12] - old)
    assert held[0].max() < 0.35 * free[0].max()
    assert (held[:4] < free[:4]).all()
    assert np.array_equal(new[12:], alone[12:])


def test_laid_at_the_picture_the_delay_is_counted() -> None:
    heads, engine = guided(laid="picture")
    play(heads, None, range(4))
    play(heads, seen(0.5, 1, 0.5), range(4, 8))
    old = latent(engine)
    play(heads, seen(-0.5, 2, 4.5), range(8, 9))
    # Pictures of ticks 0 and 4: four rows executed, four of delay; row 0 to 3 are as good as sent.
    new = latent(engine)
    assert np.abs(new[:4] - old[4:8]).max() < 0.2
    played = play(heads, seen(-0.5, 2, 4.5), range(9, 10))
    assert played[0] == pytest.approx(0.25 + 2 * np.tanh(new[5]), abs=1e-6)


def test_laid_at_the_picture_a_slow_backbone_is_refused_before_anything_moves() -> None:
    heads, _ = guided(laid="picture")
    # Seven ticks and a little: a picture just ahead of a tick is first seen nine ticks later.
    late = Features(np.zeros(4, np.float32), 0, 7 * TICK_NS + 1, 1, 1)
    with pytest.raises(ConfigWrong, match="cannot join") as refused:
        refuse_backbone(Blended(heads, 10, 2), late, 50.0)
    assert "H = 16, delay d = 9, executed s = 9" in refused.value.facts
    refuse_backbone(heads, Features(late.pooled, 0, 7 * TICK_NS, 1, 1), 50.0)
    refuse_backbone(guided()[0], late, 50.0)


def test_a_backbone_that_slows_down_is_played_at_the_joints_and_counted() -> None:
    heads, engine = guided(laid="picture", execute=4)
    play(heads, None, range(5))
    play(heads, seen(0.5, 1, 0.5), range(5, 10))
    assert warnings_of(told_of(heads)) == []
    old, runs = latent(engine)[15:], conditions(engine)
    # The picture of tick 3 at tick 15: twelve ticks of delay, where H = 16 allows eight.
    play(heads, seen(-0.5, 2, 3.5), range(15, 16))
    assert heads.left == 1 and heads.starved == 0
    assert latent(engine)[0] == pytest.approx(old[0], abs=0.2)
    played = play(heads, seen(-0.5, 2, 3.5), range(16, 25))
    assert conditions(engine) == runs + 3  # at 15, 19 and 23: every `execute` ticks
    assert np.isfinite(played).all() and heads.starved == 0
    [said] = warnings_of(told_of(Blended(heads, 10, 2)))
    assert "1 times" in said and "H = 16, delay d = 12, executed s = 12" in said
    # Fast again, it is laid at its picture again.
    play(heads, seen(0.5, 3, 23.5), range(25, 26))
    play(heads, seen(0.5, 3, 23.5), range(26, 31))
    assert conditions(engine) == runs + 4 and heads.left == 1


@pytest.mark.parametrize("execute", [16, 40])
def test_an_execute_outside_the_envelope_is_refused_at_once(execute: int) -> None:
    with pytest.raises(ConfigWrong, match="cannot join"):
        guided(execute=execute)


@pytest.mark.parametrize("at", [16, 17, 21, 32, 33, 51])
def test_missed_ticks_start_anew_and_are_counted(at: int) -> None:
    heads, engine = guided()
    play(heads, seen(0.5, 1), range(2))
    assert np.isfinite(play(heads, seen(0.5, 1), range(at, at + 1))).all()
    assert heads.restarts == 1
    assert engine.guide is None


@pytest.mark.parametrize("stall", range(1, 40))
@pytest.mark.parametrize("strategy", ["rtc", "prefix"])
def test_no_stall_of_the_backbone_or_of_the_loop_stops_it(strategy: str, stall: int) -> None:
    for laid in ("joints", "picture"):
        choice = HeadsChoice(strategy=strategy, laid=laid)  # type: ignore[arg-type]
        own = network(contracting(), prefix_rows=8)
        heads = (GuidedHeads if strategy == "rtc" else PrefixHeads)(own, choice, 2, 100)
        play(heads, seen(0.5, 1, 0.5), range(1, 6))
        play(heads, seen(0.5, 2, 3.5), range(6, 8))
        # The backbone: nothing new for `stall` ticks. Then the loop itself.
        played = play(heads, seen(-0.5, 3, 6.5 + stall), range(8 + stall, 12 + stall))
        assert np.isfinite(played).all()
        again = 12 + 2 * stall
        assert np.isfinite(play(heads, seen(0.5, 4, again - 1.5), range(again, again + 4))).all()


def test_a_nan_does_not_stay() -> None:
    heads, engine = guided()
    assert np.isnan(play(heads, seen(float("nan"), 1), range(1))).all()
    assert np.isfinite(play(heads, seen(0.5, 2), range(1, 6))).all()
    assert np.isfinite(latent(engine)).all()


def test_it_is_chosen_in_the_robot_file_and_refuses_a_head_it_cannot_guide() -> None:
    robot = msgspec.structs.replace(load_robot("sim"), heads=HeadsChoice(strategy="rtc"))
    blended = open_strategy(robot, network(contracting()))
    assert isinstance(blended, Blended) and isinstance(blended.inner, GuidedHeads)
    plain = Stub({"pooled": (1, 4), "joints": (1, 2)}, {"chunk": CHUNK}, lambda *_: None)
    with pytest.raises(ConfigWrong, match="needs a flow"):
        open_strategy(robot, network(plain))
