"""What heads attend to is put in when it is new, and nothing else makes its slow engine run."""

import numpy as np

from neon_edge.engine.attended import TOKEN_MASK, TOKENS, TokenFeed, open_feed, padded
from neon_edge.engine.contract import Tensors
from neon_edge.engine.staged import StagedEngine
from tests.engine.test_staged import Arithmetic

ROWS, WIDTH = 5, 3


class Attending(Arithmetic):
    """Its output is 1 more than the sum of what it is given, tokens and mask."""

    def __init__(self) -> None:
        super().__init__({}, "token_term", 1)
        self.inputs: Tensors = {
            TOKENS: np.zeros((1, ROWS, WIDTH), np.float32),
            TOKEN_MASK: np.zeros((1, ROWS), np.float32),
        }


def stages() -> tuple[Attending, StagedEngine]:
    slow = Attending()
    return slow, StagedEngine([slow], Arithmetic({"token_term": 1, "joints": 2}, "chunk", 1))


def run(engine: StagedEngine) -> float:
    engine.start()
    engine.wait()
    return float(engine.outputs["chunk"][0, 0])


def test_padding_behind_a_shorter_sequence_is_zero_and_masked() -> None:
    slow, engine = stages()
    feed = TokenFeed(engine)
    feed.put(np.full((ROWS, WIDTH), 2, np.float32))
    feed.put(np.full((2, WIDTH), 3, np.float32))
    assert slow.inputs[TOKENS][0].tolist() == [[3.0] * 3, [3.0] * 3, *[[0.0] * 3] * 3]
    assert slow.inputs[TOKEN_MASK].tolist() == [[1, 1, 0, 0, 0]]
    assert run(engine) == 18 + 2 + 1 + 1


def test_it_runs_once_a_put_and_never_for_another_reason() -> None:
    slow, engine = stages()
    feed = TokenFeed(engine)
    answers = []
    for tick in range(6):
        if tick % 3 == 0:
            feed.put(np.full((1, WIDTH), tick, np.float32))
        engine.inputs["joints"][:] = tick
        answers.append(run(engine))
    assert slow.runs == 2
    assert answers == [3, 5, 7, 18, 20, 22]


def test_whoever_writes_by_himself_is_noticed_as_ever() -> None:
    slow, engine = stages()
    for value in (1, 1, 2):
        engine.inputs[TOKENS][:] = value
        run(engine)
    assert slow.runs == 2


def test_a_failed_run_is_tried_again() -> None:
    slow, engine = stages()
    feed, working = TokenFeed(engine), slow.start

    def failing() -> None:
        raise RuntimeError

    feed.put(np.ones((1, WIDTH), np.float32))
    slow.start = failing  # type: ignore[method-assign]
    for _ in range(2):
        try:
            run(engine)
        except RuntimeError:
            continue
        raise AssertionError("the failure was swallowed")
    slow.start = working  # type: ignore[method-assign]
    assert run(engine) == 6


def test_heads_that_attend_to_nothing_have_no_feed() -> None:
    assert open_feed(Arithmetic({"pooled": 3}, "chunk", 1)) is None


def test_padded() -> None:
    assert padded(np.ones((2, 2), np.float32), 3).tolist() == [[1, 1], [1, 1], [0, 0]]
