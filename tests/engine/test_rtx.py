"""TensorRT-RTX on a machine without a GPU: a real TensorRT compiler in every test run."""

from __future__ import annotations

from pathlib import Path

import pytest

from neon_edge.engine.rtx import compile_rtx
from neon_edge.errors import ConfigWrong
from tests.engine import graphs

pytest.importorskip("tensorrt_rtx_bindings")


def test_it_compiles_for_a_gpu_that_is_not_here(tmp_path: Path) -> None:
    plan = tmp_path / "lookup.rtx.plan"
    compile_rtx(graphs.lookup(tmp_path)[0], plan, "SM86")
    assert plan.stat().st_size > 1000


def test_weights_beside_the_graph_are_found(tmp_path: Path) -> None:
    onnx, _ = graphs.affine(tmp_path, width=64, external=True)
    compile_rtx(onnx, tmp_path / "affine.rtx.plan")
    (tmp_path / "affine.onnx.weights").unlink()
    with pytest.raises(ConfigWrong, match="cannot read"):
        compile_rtx(onnx, tmp_path / "affine.rtx.plan")


def test_every_node_it_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigWrong, match=r"cannot read unknown\.onnx") as refused:
        compile_rtx(graphs.unknown_nodes(tmp_path), tmp_path / "plan")
    assert "Neon node 'first_unknown'" in refused.value.facts
    assert "Argon node 'second_unknown'" in refused.value.facts


def test_a_shape_that_is_not_fixed_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigWrong, match="input 'x' has no fixed shape"):
        compile_rtx(graphs.dynamic(tmp_path), tmp_path / "plan")


def test_an_unknown_target_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigWrong, match="no target 'SM87'") as refused:
        compile_rtx(graphs.affine(tmp_path)[0], tmp_path / "plan", "SM87")
    assert "SM86" in refused.value.facts
