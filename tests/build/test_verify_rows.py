"""The plan of one row is gated on every row, and a wrong one is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neon_edge.build.verify_rows import row_gates
from neon_edge.engine.manifest import Gate
from tests.build.test_verify_guided import Exported, exported, gates


@pytest.fixture(scope="module")
def mlp(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported(tmp_path_factory.mktemp("mlp"), "mlp")


def row_gate(of: Exported, directory: Path, factor: float) -> Gate:
    [gate] = gates(of, directory, "heads_row", factor, judge=row_gates)
    return gate


def test_an_exact_plan_passes(mlp: Exported, tmp_path: Path) -> None:
    gate = row_gate(mlp, tmp_path, 1.0)
    assert gate.name == "one row alone" and gate.unit == "rad" and gate.passed


@pytest.mark.parametrize("factor", [1.01, float("nan")])
def test_a_wrong_plan_is_seen(mlp: Exported, tmp_path: Path, factor: float) -> None:
    assert not row_gate(mlp, tmp_path, factor).passed


def test_a_wrong_last_row_is_seen(mlp: Exported, tmp_path: Path) -> None:
    wanted = mlp.wanted.copy()
    wanted[-1, -1, 0] += np.float32(0.01)
    gate = row_gate(mlp._replace(wanted=wanted), tmp_path, 1.0)
    assert gate.measured == pytest.approx(0.01, abs=1e-4) and not gate.passed


def test_heads_that_make_no_row_alone_have_nothing_to_gate(tmp_path: Path) -> None:
    assert gates(exported(tmp_path / "flow", "flow"), tmp_path, judge=row_gates) == []
