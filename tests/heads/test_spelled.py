"""Heads that write their chunks over several ticks: when a row is due, and what a fault does."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from neon_edge.config import load_robot
from neon_edge.config.heads import HeadsChoice
from neon_edge.engine.action_tokens import ActionTokens, open_action_tokens
from neon_edge.engine.manifest import HeadsManifest, Part
from neon_edge.engine.spelling import SpellingEngine
from neon_edge.errors import ConfigWrong
from neon_edge.heads.fared import warnings_of
from neon_edge.heads.network import HeadNetwork
from neon_edge.heads.spelled import SpelledHeads
from neon_edge.heads.strategy import open_strategy
from neon_edge.safety.filter import SafetyFilter
from neon_edge.types import Features, Float32, Health, JointState, Rung
from tests.engine.dictation import BASE, COLUMNS, GAIN, STEPS, dictating
from tests.engine.fast_tokenizer import fit, waves
from tests.heads.told import told_of

TICK_NS = 20_000_000
NAMES = ["a", "b", "c"]
PART = Part(name="heads", onnx="heads.onnx", onnx_sha256="", inputs=[], outputs=[])


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> ActionTokens:
    directory = tmp_path_factory.mktemp("tokens")
    fit(directory, waves(200, STEPS, COLUMNS, seed=1), vocabulary=260)
    return open_action_tokens(directory, STEPS, COLUMNS)


@pytest.fixture(scope="module")
def said(tokens: ActionTokens) -> list[list[int]]:
    """Line 0 is a chunk, line 1 is none, line 2 is another chunk."""
    first, second = (tokens.encode(chunk) for chunk in waves(2, STEPS, COLUMNS, seed=2))
    return [first, first[:-1], second]


def network(engine: SpellingEngine, names: list[str] = NAMES) -> HeadNetwork:
    manifest = HeadsManifest(
        checkpoint="c", checkpoint_sha256="", backbone_id="b", backbone_hash="0" * 16,
        head_type="fast", control_mode="x", joint_names=names, base_velocity=False, steps=STEPS,
        sensors=[], part=PART,
    )  # fmt: skip
    return HeadNetwork(engine, manifest, names, {})


def writing(tokens: ActionTokens, said: list[list[int]], each_tick: int) -> SpelledHeads:
    engine, _ = dictating(tokens, said)
    return SpelledHeads(network(engine), engine, each_tick, COLUMNS, 100)


def seen(line: int, sequence: int, captured_tick: float) -> Features:
    captured_ns = round(captured_tick * TICK_NS)
    return Features(np.full(1, line, np.float32), captured_ns, captured_ns, sequence, 1)


STILL = JointState(*(np.zeros(COLUMNS, np.float32) for _ in range(3)), np.ones(COLUMNS, np.int64))


def play(
    heads: SpelledHeads, feed: dict[int, Features], ticks: int
) -> list[tuple[Float32, int] | None]:
    """Position and features_ns at every tick; `feed` says which features arrive when."""
    features, wanted = None, []
    for tick in range(ticks):
        features = feed.get(tick, features)
        setpoint = heads.setpoint(features, STILL, tick * TICK_NS + 1, tick)
        wanted.append(setpoint and (setpoint.position.copy(), setpoint.features_ns))
    return wanted


def rows(tokens: ActionTokens, line: list[int]) -> Float32:
    return (BASE + GAIN * tokens.decode(line)[0]).astype(np.float32)


@pytest.mark.parametrize("each_tick", [1, 3, 100])
def test_a_chunk_is_written_over_ticks_and_laid_where_its_picture_was_taken(
    tokens: ActionTokens, said: list[list[int]], each_tick: int
) -> None:
    heads = writing(tokens, said, each_tick)
    # The picture of tick 2 arrives at tick 4; the end is a token too.
    done = 4 + -(-(len(said[0]) + 1) // each_tick) - 1
    wanted = play(heads, {4: seen(0, 1, 2.5)}, done + 12)
    assert wanted[:done] == [None] * done
    for tick, made in enumerate(wanted[done:], done):
        assert made is not None
        due = min(tick - 2, STEPS - 1)
        assert np.abs(made[0] - rows(tokens, said[0])[due]).max() <= 1e-5
    assert (heads.written, heads.refused) == (1, 0)
    assert heads.starved == sum(tick - 2 >= STEPS for tick in range(done, done + 12))


def test_the_old_chunk_plays_while_the_new_is_written_and_says_how_old_it_is(
    tokens: ActionTokens, said: list[list[int]]
) -> None:
    heads = writing(tokens, said, 3)
    wanted = play(heads, {0: seen(0, 1, 0.0), 20: seen(2, 2, 19.5)}, 20 + 40)
    done = 20 + -(-(len(said[2]) + 1) // 3) - 1
    ages = [made[1] for made in wanted if made is not None]
    assert ages == [0] * (len(ages) - (60 - done)) + [round(19.5 * TICK_NS)] * (60 - done)
    assert done > 21


def test_features_during_writing_wait_and_only_the_newest_is_used(
    tokens: ActionTokens, said: list[list[int]]
) -> None:
    heads = writing(tokens, said, 2)
    feed = {0: seen(0, 1, 0.0), 1: seen(1, 2, 1.0), 2: seen(2, 3, 2.0)}
    wanted = play(heads, feed, 60)
    # Features 2 would have been a fault: they were never written.
    assert (heads.written, heads.refused) == (2, 0)
    assert wanted[-1] is not None and wanted[-1][1] == 2 * TICK_NS


def test_after_tokens_that_are_no_chunk_nothing_is_wanted_until_there_is_one(
    tokens: ActionTokens, said: list[list[int]]
) -> None:
    heads = writing(tokens, said, 100)
    wanted = play(heads, {0: seen(0, 1, 0), 3: seen(1, 2, 3), 6: seen(2, 3, 6)}, 9)
    assert [made is None for made in wanted] == [False] * 3 + [True] * 3 + [False] * 3
    assert (heads.written, heads.refused) == (3, 1)
    [told] = warnings_of(told_of(heads))
    assert "no chunk 1 of 3 times" in told and "for count" in told


def test_a_fault_moves_no_motor(tokens: ActionTokens, said: list[list[int]]) -> None:
    whole = load_robot("sim")
    joints = whole.joints[:COLUMNS]
    robot = msgspec.structs.replace(whole, joints=joints)
    engine, _ = dictating(tokens, said)
    names = [joint.name for joint in joints]
    heads = SpelledHeads(network(engine, names), engine, 100, COLUMNS, 100)
    safety = SafetyFilter(robot, heads.driven)
    middle = np.array([(one.lower + one.upper) / 2 for one in joints], np.float32)
    state = JointState(middle, middle * 0, middle * 0, np.zeros(COLUMNS, np.int64))
    safety.start(middle, 0)
    sent: list[tuple[Float32, Rung]] = []
    for tick in range(1, 160):
        now = tick * TICK_NS
        state.received_ns[:] = now
        features = seen(0 if tick < 100 else 1, tick, tick)
        setpoint = heads.setpoint(features, state, now, tick)
        command = safety.filter(setpoint, state, features, Health(), now)
        sent.append((command.position.copy(), command.rung))
    path = np.stack([position for position, _ in sent])
    moved = np.abs(np.diff(path, axis=0)).max(axis=1)
    assert moved[:98].max() > 0
    assert {rung for _, rung in sent[:98]} == {Rung.RUN}
    assert {rung for _, rung in sent[99:]} == {Rung.HOLD}
    # Held within the limits of acceleration, it has come to rest a little later.
    assert moved[130:].max() == 0


@pytest.mark.parametrize("strategy", ["fresh", "ensemble", "rtc"])
def test_they_replay_and_can_nothing_else(
    tokens: ActionTokens, said: list[list[int]], strategy: str
) -> None:
    engine, _ = dictating(tokens, said)
    robot = load_robot("sim")
    for name, fits in ((strategy, False), ("chunk", True)):
        choice = HeadsChoice(strategy=name)  # type: ignore[arg-type]
        changed = msgspec.structs.replace(robot, heads=choice)
        if fits:
            opened = open_strategy(changed, network(engine))
            assert isinstance(getattr(opened, "inner", opened), SpelledHeads)
        else:
            with pytest.raises(ConfigWrong, match="token by token can only replay"):
                open_strategy(changed, network(engine))
