"""A compiler in a process of its own: same plan, same errors, and its death is only its own."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from neon_edge.build import apart
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import Part, TensorSpec
from neon_edge.engine.plan import compile_part
from neon_edge.errors import ConfigWrong, PlanUnfit


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Part]:
    monkeypatch.setattr(apart, "_SMALL_BYTES", 0)
    weight = numpy_helper.from_array(np.eye(8, dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "p.onnx")
    specs = [TensorSpec("x", [1, 8])], [TensorSpec("y", [1, 8])]
    return tmp_path, Part("p", "p.onnx", sha256_file(tmp_path / "p.onnx"), *specs)


def test_the_plan_is_the_one_made_here(bundle: tuple[Path, Part], tmp_path: Path) -> None:
    directory, part = bundle
    for name in ("here", "apart"):
        (tmp_path / name).mkdir()
    here = compile_part(directory, part, tmp_path / "here", "onnxruntime")
    assert apart.compile_apart(directory, part, tmp_path / "apart", "onnxruntime") == here


def test_a_refusal_comes_back_whole(bundle: tuple[Path, Part], tmp_path: Path) -> None:
    directory, part = bundle
    (directory / "p.onnx").write_bytes(b"no graph")
    with pytest.raises(ConfigWrong, match=r"cannot compile p\.onnx") as caught:
        apart.compile_apart(directory, part, tmp_path, "onnxruntime")
    assert caught.value.facts


def _dies(*_: object) -> None:
    os.kill(os.getpid(), 9)


def test_a_compiler_that_is_killed_is_named(
    bundle: tuple[Path, Part], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, part = bundle
    monkeypatch.setattr(apart, "_compile", _dies)
    with pytest.raises(PlanUnfit, match="the compiler of part 'p' died") as caught:
        apart.compile_apart(directory, part, tmp_path, "onnxruntime")
    assert "-9" in caught.value.facts
