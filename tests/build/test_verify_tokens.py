"""No chunk on both sides agrees, on one side it is the worst error, on all it is no gate."""

from __future__ import annotations

import numpy as np

from neon_edge.build.verify_tokens import answered, chunks_gate, without_none
from neon_edge.types import Float32


def chunks(*rows: float) -> Float32:
    return np.stack([np.full((4, 2), row, np.float32) for row in rows])


NONE = float("nan")


def errors(found: Float32, wanted: Float32) -> list[float]:
    each = np.abs(answered(found, wanted) - without_none(wanted)).max(axis=(1, 2))
    return [float(error) for error in each]


def test_errors_are_those_of_chunks() -> None:
    assert np.allclose(errors(chunks(1.0, 2.5), chunks(1.0, 2.0)), [0, 0.5])


def test_none_on_both_sides_agrees_and_on_one_side_is_no_number() -> None:
    found = errors(chunks(NONE, NONE, 0.0, 3.0), chunks(NONE, 0.0, NONE, 3.0))
    assert found[0] == 0 and found[3] == 0
    assert np.isnan(found[1]) and np.isnan(found[2])


def test_a_chunk_with_one_number_missing_is_not_none() -> None:
    wanted = chunks(1.0)
    wanted[0, 2, 1] = NONE
    assert np.isnan(errors(chunks(1.0), wanted)).all()
    assert np.isnan(errors(wanted, wanted)).all()


def test_enough_samples_must_be_chunks() -> None:
    assert chunks_gate(chunks(1, NONE, NONE, NONE)).passed
    gate = chunks_gate(chunks(1, NONE, NONE, NONE, NONE))
    assert not gate.passed and gate.measured == 0.8
