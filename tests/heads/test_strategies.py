"""One contract for every strategy, and what each promises beyond it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from neon_edge.config import load_robot
from neon_edge.config.heads import HeadsChoice
from neon_edge.engine.contract import Array, Engine
from neon_edge.engine.manifest import HeadsManifest, Part
from neon_edge.heads.chunk import ChunkHeads
from neon_edge.heads.ensemble import EnsembleHeads
from neon_edge.heads.fresh import FreshHeads
from neon_edge.heads.history import History
from neon_edge.heads.network import HeadNetwork
from neon_edge.heads.strategy import Heads, open_strategy
from neon_edge.types import Features, JointState

STEPS = 8
NAMES = ["a", "b"]
TICK_NS = 20_000_000


class Ramp:
    """Heads whose row i says: where joint a stood, plus the feature, plus i."""

    def __init__(self) -> None:
        self.inputs: dict[str, Array] = {
            "pooled": np.zeros((1, 4), np.float32),
            "joints": np.zeros((1, 2), np.float32),
        }
        self.outputs: dict[str, Array] = {"chunk": np.zeros((1, STEPS, 2), np.float32)}
        self.runs = 0

    def start(self) -> None:
        self.runs += 1
        start = self.inputs["joints"][0, 0] + self.inputs["pooled"][0, 0]
        self.outputs["chunk"][0, :, 0] = start + np.arange(STEPS)
        self.outputs["chunk"][0, :, 1] = -1.0

    def wait(self) -> None:
        pass

    def close(self) -> None:
        pass


def network(engine: Engine) -> HeadNetwork:
    part = Part(name="heads", onnx="heads.onnx", onnx_sha256="", inputs=[], outputs=[])
    manifest = HeadsManifest(
        checkpoint="c", checkpoint_sha256="", backbone_id="b", backbone_hash="0" * 16,
        head_type="mlp", control_mode="x", joint_names=NAMES, base_velocity=False, steps=STEPS,
        sensors=[], part=part,
    )  # fmt: skip
    return HeadNetwork(engine, manifest, NAMES, {})


def strategies(engine: Ramp) -> list[Heads]:
    return [
        FreshHeads(network(engine)),
        ChunkHeads(network(engine), 2, 100),
        EnsembleHeads(network(engine), 0.01),
    ]


def state(position: float) -> JointState:
    values = np.array([position, 0.0], np.float32)
    return JointState(values, values * 0, values * 0, np.ones(2, np.int64))


def seen(value: float, sequence: int, captured_tick: float) -> Features:
    captured_ns = round(captured_tick * TICK_NS)
    return Features(np.full(4, value, np.float32), captured_ns, captured_ns, sequence, 1)


def play(heads: Heads, feed: dict[int, Features], ticks: int, start: int = 0) -> list[float]:
    """Joint a's setpoint at each tick; `feed` says which features arrive when; joints stay at 0."""
    features, wanted = None, []
    for tick in range(start, start + ticks):
        features = feed.get(tick, features)
        setpoint = heads.setpoint(features, state(0.0), tick * TICK_NS + 1, tick)
        wanted.append(float("nan") if setpoint is None else float(setpoint.position[0]))
    return wanted


@pytest.mark.parametrize("which", range(3))
def test_every_strategy_keeps_the_contract(which: int) -> None:
    heads = strategies(Ramp())[which]
    assert heads.driven.tolist() == [0, 1]
    assert heads.setpoint(None, state(0.0), 1, 0) is None
    features = seen(0.5, 1, 1.0000001)
    setpoint = heads.setpoint(features, state(0.0), TICK_NS + 1, 1)
    assert setpoint is not None
    assert (setpoint.features_ns, setpoint.at_ns) == (features.captured_ns, TICK_NS + 1)
    assert setpoint.position.tolist() == [0.5, -1.0]
    assert setpoint.position.dtype == np.float32


@pytest.mark.parametrize("which", range(3))
def test_every_strategy_can_be_chosen_in_a_robot_file(which: int) -> None:
    name = ("fresh", "chunk", "ensemble")[which]
    choice = HeadsChoice(strategy=name, blend_s=0)  # type: ignore[arg-type]
    robot = msgspec.structs.replace(load_robot("sim"), heads=choice)
    assert type(open_strategy(robot, network(Ramp()))) is type(strategies(Ramp())[which])


def test_a_chunk_is_laid_where_its_picture_was_taken() -> None:
    heads = ChunkHeads(network(Ramp()), 2, 100)
    # The picture of tick 2 arrives at tick 5: rows 0 to 2 have passed and are never replayed.
    wanted = play(heads, {5: seen(10, 1, 2.5)}, 12)
    assert np.isnan(wanted[:5]).all()
    assert wanted[5:10] == [13, 14, 15, 16, 17]
    assert heads.starved == 2
    assert wanted[10:] == [17, 17]


def test_a_chunk_uses_the_joints_of_its_own_moment() -> None:
    heads = ChunkHeads(network(Ramp()), 2, 100)
    for tick in range(6):
        heads.setpoint(None, state(tick * 100.0), tick * TICK_NS, tick)
    setpoint = heads.setpoint(seen(0, 1, 3), state(600.0), 6 * TICK_NS, 6)
    assert setpoint is not None
    assert setpoint.position[0] == 303


def test_missed_ticks_skip_rows_instead_of_playing_them_late() -> None:
    heads = ChunkHeads(network(Ramp()), 2, 100)
    play(heads, {0: seen(0, 1, 0)}, 2)
    assert play(heads, {4: seen(0, 1, 0)}, 1, start=4) == [4]


def test_a_chunk_is_made_once_for_each_features() -> None:
    engine = Ramp()
    play(ChunkHeads(network(engine), 2, 100), {0: seen(0, 1, 0), 4: seen(0, 2, 4)}, 8)
    assert engine.runs == 2


def test_an_ensemble_is_the_weighted_mean_of_all_that_was_said_about_now() -> None:
    decay = 0.3
    heads = EnsembleHeads(network(Ramp()), decay)
    wanted = play(heads, {k: seen(float(k * k), k + 1, k) for k in range(20)}, 20)
    for tick in range(20):
        # Chunk made at `made`, oldest first, says about `tick`: its feature plus the distance.
        said = [made * made + tick - made for made in range(max(0, tick - STEPS + 1), tick + 1)]
        weights = np.exp(-decay * np.arange(len(said)))
        assert wanted[tick] == pytest.approx(float(np.dot(weights, said) / weights.sum()), rel=1e-5)


def test_a_chunk_that_is_no_number_is_shown_and_leaves_no_trace_in_an_ensemble() -> None:
    heads = EnsembleHeads(network(Ramp()), 0.0)
    wanted = play(heads, {0: seen(1, 1, 0), 3: seen(float("nan"), 2, 3), 4: seen(1, 3, 4)}, 12)
    assert np.isnan(wanted[3])
    assert np.isfinite(np.delete(wanted, 3)).all()


def test_an_ensemble_forgets_what_a_gap_made_too_old() -> None:
    heads = EnsembleHeads(network(Ramp()), 0.0)
    play(heads, {0: seen(0, 1, 0)}, 3)
    assert play(heads, {50: seen(7, 2, 50)}, 1, start=50) == [7]


def test_history_counts_ticks_and_gives_the_oldest_for_what_came_before() -> None:
    history = History(4, 1)
    for tick in (1, 2, 5, 6, 7):  # 3 and 4 were missed; 1 is forgotten
        history.add(tick, tick * 10, np.array([tick], np.float32))
    cases = {70: 7, 79: 7, 69: 6, 50: 5, 49: 2, 20: 2, 3: 2}
    for captured, tick in cases.items():
        found, position = history.observed(captured)
        assert (found, float(position[0])) == (tick, tick)
