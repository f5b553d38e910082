"""`heads.onnx` against the torch networks that it was made from."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from neon_edge.build.heads import export_heads, heads_error, sample_inputs, torch_chunk
from neon_edge.checkpoint import Checkpoint, load_checkpoint
from neon_edge.engine.contract import infer
from neon_edge.engine.plan import compile_part, open_heads_engine, this_machine
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


def runner(directory: Path) -> Any:
    def session(name: str) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(
            str(directory / name), providers=["CPUExecutionProvider"]
        )

    term, heads = session("heads_pooled.onnx"), session("heads.onnx")

    def run(inputs: dict[str, Float32]) -> Float32:
        rest = {name: value for name, value in inputs.items() if name != "pooled"}
        [pooled_term] = term.run(None, {"pooled": inputs["pooled"]})
        return heads.run(["chunk"], {"pooled_term": pooled_term, **rest})[0]

    return run


@pytest.mark.parametrize("case", CASES)
def test_the_graph_is_the_network(tmp_path: Path, case: str) -> None:
    checkpoint = load(tmp_path / "saved", **CASES[case])
    heads = export_heads(checkpoint, tmp_path / "bundle", "0123456789abcdef")
    errors = heads_error(checkpoint, runner(tmp_path / "bundle"), SAMPLES, seed=1)
    assert errors.shape == (len(checkpoint.columns),)
    assert errors.max() <= 1e-4, checkpoint.columns[int(errors.argmax())]
    assert heads.joint_names == checkpoint.actions.joint_names
    assert not heads.random and heads.backbone_hash == "0123456789abcdef"


def test_the_manifest_says_what_the_graph_takes(tmp_path: Path) -> None:
    checkpoint = load(tmp_path / "saved", **CASES["whole_body single"])
    heads = export_heads(checkpoint, tmp_path, "0" * 16)
    for part in heads.parts:
        graph = onnx.load(str(tmp_path / part.onnx))
        for specs, values in (
            (part.inputs, graph.graph.input),
            (part.outputs, graph.graph.output),
        ):
            stated = [
                (value.name, [d.dim_value for d in value.type.tensor_type.shape.dim])
                for value in values
            ]
            assert [(spec.name, spec.shape) for spec in specs] == stated
        assert max(opset.version for opset in graph.opset_import) <= 20
        assert {opset.domain for opset in graph.opset_import} <= {""}
    fed = [[spec.name for spec in part.inputs] for part in heads.parts]
    tick = ["pooled_term", "joints", "imu"]
    assert fed == [["pooled"], tick, [*tick, "row"]]
    assert heads.with_parts(heads.parts) == heads
    assert [spec.name for spec in heads.sensors] == ["imu"]


def test_the_graph_names_no_path_of_this_machine(tmp_path: Path) -> None:
    checkpoint = load(tmp_path / "saved", **CASES["upper_body, three layers, one row"])
    export_heads(checkpoint, tmp_path, "0" * 16)
    for name in ("heads.onnx", "heads_pooled.onnx"):
        assert str(Path(__file__).parents[2]).encode() not in (tmp_path / name).read_bytes()


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


def test_the_graphs_are_tensorrt_graphs(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    checkpoint = load(tmp_path / "saved", **CASES["whole_body single"])
    heads = export_heads(checkpoint, tmp_path, "0" * 16)
    for part in heads.parts:
        compiled = compile_part(tmp_path, part, tmp_path, "tensorrt-rtx")
        assert (tmp_path / compiled.plan).stat().st_size > 0


def test_plans_run_as_one_engine(tmp_path: Path) -> None:
    checkpoint = load(tmp_path / "saved", **CASES["whole_body single"])
    heads = export_heads(checkpoint, tmp_path, "0" * 16)
    machine = this_machine("onnxruntime")
    heads = heads.with_parts(
        [compile_part(tmp_path, part, tmp_path, "onnxruntime") for part in heads.parts]
    )
    engine = open_heads_engine(tmp_path, heads, machine)
    assert list(engine.inputs) == ["pooled", "joints", "imu"]
    errors = heads_error(checkpoint, lambda seen: infer(engine, seen)["chunk"], SAMPLES, seed=3)
    engine.close()
    assert errors.max() <= 1e-4
    kinds = [node.op_type for node in onnx.load(str(tmp_path / heads.part.plan)).graph.node]
    assert kinds.count("SimplifiedLayerNormalization") == 3 and "ReduceMean" not in kinds


@pytest.mark.parametrize("case", ["whole_body single", "arms_only separate, blind"])
def test_a_row_made_alone_is_the_networks_row(tmp_path: Path, case: str) -> None:
    checkpoint = load(tmp_path / "saved", **CASES[case])
    heads = export_heads(checkpoint, tmp_path, "0" * 16)
    heads = heads.with_parts(
        [compile_part(tmp_path, part, tmp_path, "onnxruntime") for part in heads.parts]
    )
    engine = open_heads_engine(tmp_path, heads, this_machine("onnxruntime"), one_row=True)
    assert engine.outputs["chunk"].shape == (1, 1, len(checkpoint.columns))

    def row_by_row(seen: Any) -> Float32:
        rows = [infer(engine, {**seen, "row": np.int32([at])}) for at in range(heads.steps)]
        return np.concatenate([row["chunk"] for row in rows], axis=1)

    errors = heads_error(checkpoint, row_by_row, 5, seed=4)
    engine.close()
    assert errors.max() <= 1e-4


def test_heads_of_one_row_have_no_plan_for_one_of_them(tmp_path: Path) -> None:
    checkpoint = load(tmp_path / "saved", **CASES["upper_body, three layers, one row"])
    heads = export_heads(checkpoint, tmp_path, "0" * 16)
    assert heads.row_part is None and heads.with_parts(heads.parts) == heads
