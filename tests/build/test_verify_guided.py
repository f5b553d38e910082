"""The plans that `rtc` and `prefix` run are gated, and a wrong one is seen."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import numpy as np
import onnx
import pytest

from neon_edge.build.heads import export_heads, sample_inputs, torch_chunk
from neon_edge.build.verify_guided import PULL_BACK, guided_gates
from neon_edge.checkpoint import load_checkpoint
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import Gate, HeadsManifest, Verification
from neon_edge.engine.plan import compile_part, this_machine
from tests.checkpoint.test_parity_samplers import SMALL
from tests.checkpoint.upstream import save_upstream

COUNT = 4


def scaled(graph: onnx.GraphProto, factor: float) -> None:
    """What the last node makes, times `factor`."""
    name = graph.output[0].name
    [maker] = [node for node in graph.node if name in node.output]
    maker.output[list(maker.output).index(name)] = "raw"
    graph.initializer.append(onnx.numpy_helper.from_array(np.float32(factor), "factor"))
    graph.node.append(onnx.helper.make_node("Mul", ["raw", "factor"], [name]))


class Exported(NamedTuple):
    """Graphs of a head, and what its network makes of some samples."""

    directory: Path
    heads: HeadsManifest
    rows: list[dict[str, np.ndarray]]
    wanted: np.ndarray


def exported(directory: Path, head: str) -> Exported:
    settings = {**SMALL, "use_separate_heads": False, "include_locomotion": False}
    save_upstream(directory, control_mode="arms_only", action_head_type=head, **settings)
    checkpoint = load_checkpoint(directory)
    heads = export_heads(checkpoint, directory, "0" * 16)
    rows = sample_inputs(checkpoint, COUNT, seed=0)
    wanted = np.stack([torch_chunk(checkpoint, row)[0] for row in rows])
    return Exported(directory, heads, rows, wanted)


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported(tmp_path_factory.mktemp("flow"), "flow")


def gates(
    of: Exported,
    directory: Path,
    part: str = "",
    factor: float = 1.0,
    judge: Callable[..., list[Gate]] = guided_gates,
) -> list[Gate]:
    """What is gated once `part`'s output is multiplied by `factor`."""
    shutil.copytree(of.directory, directory, dirs_exist_ok=True)
    plans = []
    for each in of.heads.parts:
        graph = each
        if each.name == part:
            model = onnx.load(directory / each.onnx)
            scaled(model.graph, factor)
            onnx.save(model, directory / each.onnx)
            sha256 = sha256_file(directory / each.onnx)
            graph = msgspec.structs.replace(each, onnx_sha256=sha256)
        plans.append(compile_part(directory, graph, directory, "onnxruntime"))

    def play(engine: Any) -> np.ndarray:
        found = []
        for row in of.rows:
            for name, value in row.items():
                np.copyto(engine.inputs[name], value.reshape(engine.inputs[name].shape))
            engine.start()
            engine.wait()
            found.append(engine.outputs["chunk"][0].copy())
        return np.stack(found)

    manifest: Any = SimpleNamespace(
        heads=of.heads.with_parts(plans),
        machine=this_machine("onnxruntime"),
        verification=Verification("", "0badcafe" * 8, "", pooled_relative=1.0, joint_rad=1e-4),
    )
    return judge(directory, manifest, play, of.wanted)


def test_exact_plans_pass(flow: Exported, tmp_path: Path) -> None:
    found = gates(flow, tmp_path)
    assert [gate.name for gate in found] == ["heads in steps", "pull-back of a step"]
    assert all(gate.passed for gate in found)
    assert 0 < found[1].measured < PULL_BACK / 4


@pytest.mark.parametrize("factor", [0.9, -1.0, 0.0, float("nan")])
def test_a_wrong_pull_back_is_seen(flow: Exported, tmp_path: Path, factor: float) -> None:
    steps, pull_back = gates(flow, tmp_path, "heads_pullback", factor)
    assert steps.passed
    assert not pull_back.passed


def test_a_wrong_step_is_seen(flow: Exported, tmp_path: Path) -> None:
    steps, _ = gates(flow, tmp_path, "heads_velocity", 1.01)
    assert not steps.passed
    assert steps.worst


def test_heads_without_steps_have_nothing_to_gate(tmp_path: Path) -> None:
    assert gates(exported(tmp_path / "mlp", "mlp"), tmp_path) == []
