import numpy as np

from neon_edge.engine.contract import Tensors, infer
from neon_edge.engine.staged import StagedEngine


class Arithmetic:
    """An engine of one equation that counts its runs."""

    def __init__(self, inputs: dict[str, int], output: str, size: int) -> None:
        self.inputs: Tensors = {name: np.zeros((1, n), np.float32) for name, n in inputs.items()}
        self.outputs: Tensors = {output: np.zeros((1, size), np.float32)}
        self.runs = 0
        self.closed = False

    def start(self) -> None:
        self.runs += 1
        (output,) = self.outputs.values()
        output[:] = sum(float(value.sum()) for value in self.inputs.values()) + 1

    def wait(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def stages() -> tuple[Arithmetic, Arithmetic, StagedEngine]:
    slow = Arithmetic({"pooled": 3}, "pooled_term", 1)
    fast = Arithmetic({"pooled_term": 1, "joints": 2}, "chunk", 1)
    return slow, fast, StagedEngine([slow], fast)


def chunk(engine: StagedEngine, pooled: float, joints: float) -> float:
    found = infer(
        engine,
        {
            "pooled": np.full((1, 3), pooled, np.float32),
            "joints": np.full((1, 2), joints, np.float32),
        },
    )
    return float(found["chunk"][0, 0])


def test_the_inner_tensor_is_not_shown() -> None:
    _, _, engine = stages()
    assert set(engine.inputs) == {"pooled", "joints"} and set(engine.outputs) == {"chunk"}


def test_slow_runs_only_when_its_input_changed() -> None:
    slow, fast, engine = stages()
    answers = [chunk(engine, p, j) for p, j in ((1, 0), (1, 1), (1, 2), (2, 2), (2, 3), (1, 3))]
    assert answers == [5, 7, 9, 12, 14, 11]
    assert (slow.runs, fast.runs) == (3, 6)


def test_the_first_run_is_never_skipped_not_even_on_zeros() -> None:
    slow, _, engine = stages()
    assert chunk(engine, 0, 0) == 2
    assert slow.runs == 1


def test_what_is_made_of_a_nan_stays_a_nan_until_the_input_is_one_no_more() -> None:
    slow, _, engine = stages()
    assert chunk(engine, 1, 0) == 5
    for _ in range(2):
        assert np.isnan(chunk(engine, float("nan"), 0))
    assert chunk(engine, 0, 0) == 2
    assert slow.runs == 3


def test_a_bit_is_a_change_in_any_place() -> None:
    slow, _, engine = stages()
    chunk(engine, 1, 0)
    for at in range(3):
        pooled = engine.inputs["pooled"][0]
        pooled[at] = np.nextafter(pooled[at], np.float32(2))
        engine.start()
        engine.start()
        assert slow.runs == 2 + at


def test_a_failed_refresh_is_tried_again() -> None:
    slow, _, engine = stages()
    chunk(engine, 1, 0)
    working = slow.start

    def failing() -> None:
        raise RuntimeError

    slow.start = failing  # type: ignore[method-assign]
    for _ in range(2):
        try:
            chunk(engine, 2, 0)
        except RuntimeError:
            continue
        raise AssertionError("the failure was swallowed")
    slow.start = working  # type: ignore[method-assign]
    assert chunk(engine, 1, 0) == 5 and slow.runs == 2


def test_close_closes_both() -> None:
    slow, fast, engine = stages()
    engine.close()
    assert slow.closed and fast.closed
