"""`heads.onnx` against the torch networks that it was made from."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from neon_edge.build.heads import export_heads, heads_error, sample_inputs, torch_chunk
from neon_edge.checkpoint import Checkpoint, load_checkpoint
from neon_edge.types import Float32
from tests.checkpoint.upstream import save_upstream

SAMPLES = 20

CASES: dict[str, dict[str, Any]] = {
    "whole_body single": {"control_mode": "whole_body", "use_separate_heads": False},
    "arms_only separate, blind": {"use_proprioception": False},
    "whole_body separate, one row": {
        "control_mode": "whole_body",
        "use_action_chunking": False,
        "action_head_layers": 5,
    },
    "upper_body, three layers, one row": {
        "control_mode": "upper_body",
        "use_separate_heads": False,
        "use_action_chunking": False,
        "include_locomotion": False,
    },
}


def load(directory: Path, **settings: Any) -> Checkpoint:
    save_upstream(directory, use_imu=True, mlp_hidden=96, **settings)
    return load_checkpoint(directory)


def runner(path: Path) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(inputs: dict[str, Float32]) -> Float32:
        return session.run(["chunk"], dict(inputs))[0]

    return run


@pytest.mark.parametrize("case", CASES)
def test_the_graph_is_the_network(tmp_path: Path, case: str) -> None:
    checkpoint = load(tmp_path / "saved", **CASES[case])
    heads = export_heads(checkpoint, tmp_path / "bundle", "0123456789abcdef")
    errors = heads_error(checkpoint, runner(tmp_path / "bundle" / "heads.onnx"), SAMPLES, seed=1)
    assert errors.shape == (len(checkpoint.columns),)
    assert errors.max() <= 1e-4, checkpoint.columns[int(errors.argmax())]
    assert heads.joint_names == checkpoint.actions.joint_names
    assert not heads.random and heads.backbone_hash == "0123456789abcdef"


def test_the_manifest_says_what_the_graph_takes(tmp_path: Path) -> None:
    checkpoint = load(tmp_path / "saved", **CASES["whole_body single"])
    heads = export_heads(checkpoint, tmp_path, "0" * 16)
    graph = onnx.load(str(tmp_path / heads.part.onnx))
    for specs, values in (
        (heads.part.inputs, graph.graph.input),
        (heads.part.outputs, graph.graph.output),
    ):
        stated = [
            (value.name, [d.dim_value for d in value.type.tensor_type.shape.dim])
            for value in values
        ]
        assert [(spec.name, spec.shape) for spec in specs] == stated
    assert [spec.name for spec in heads.part.inputs] == ["pooled", "joints", "imu"]
    assert [spec.name for spec in heads.sensors] == ["imu"]
    assert max(opset.version for opset in graph.opset_import) <= 20
    assert {opset.domain for opset in graph.opset_import} <= {""}


def test_the_graph_names_no_path_of_this_machine(tmp_path: Path) -> None:
    checkpoint = load(tmp_path / "saved", **CASES["upper_body, three layers, one row"])
    export_heads(checkpoint, tmp_path, "0" * 16)
    assert str(Path(__file__).parents[2]).encode() not in (tmp_path / "heads.onnx").read_bytes()


def test_the_error_names_the_column_that_is_wrong(tmp_path: Path) -> None:
    checkpoint = load(tmp_path, **CASES["whole_body single"])
    knee = checkpoint.columns.index("left_knee")

    def wrong(inputs: dict[str, Float32]) -> Float32:
        chunk = torch_chunk(checkpoint, inputs).copy()
        chunk[0, 5, knee] += 0.25
        return chunk

    errors = heads_error(checkpoint, wrong, 3, seed=2)
    assert errors.argmax() == knee and errors[knee] == pytest.approx(0.25, abs=1e-6)
    assert np.count_nonzero(errors) == 1


def test_a_nan_is_an_error_and_not_a_zero(tmp_path: Path) -> None:
    checkpoint = load(tmp_path, **CASES["whole_body single"])

    def broken(inputs: dict[str, Float32]) -> Float32:
        return torch_chunk(checkpoint, inputs) * np.float32("nan")

    assert np.isnan(heads_error(checkpoint, broken, 2, seed=0)).all()


def test_samples_are_seeded_and_joints_stay_inside_their_limits(tmp_path: Path) -> None:
    checkpoint = load(tmp_path, **CASES["whole_body single"])
    first, again = (sample_inputs(checkpoint, 10, seed=4) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)
        inside = np.abs(one["joints"][0] - checkpoint.actions.middle)
        assert (inside <= np.array(checkpoint.actions.half_range) + 1e-5).all()


def test_the_graph_is_a_tensorrt_graph(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    from neon_edge.engine.rtx import compile_rtx

    checkpoint = load(tmp_path / "saved", **CASES["whole_body single"])
    export_heads(checkpoint, tmp_path, "0" * 16)
    compile_rtx(tmp_path / "heads.onnx", tmp_path / "heads.plan")
    assert (tmp_path / "heads.plan").stat().st_size > 0
