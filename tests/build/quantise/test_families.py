"""Every family's tiny sibling, quantised in its Linears and nowhere else, compiles for TensorRT."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto

from neon_edge.build.export import export_backbone
from neon_edge.build.quantise.kept import Kept
from neon_edge.build.quantise.layers import quantise
from neon_edge.build.quantise.linears import find_linears
from neon_edge.build.quantise.lint import lint
from neon_edge.build.quantise.method import Bits, Method
from neon_edge.build.quantise.place import place
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.engine.manifest import Part
from neon_edge.engine.rtx import compile_rtx
from tests.tiny_backbone import ENGINES, Exported

pytestmark = pytest.mark.slow

FAMILIES = ["qwen_vl_tiny", "qwen_omni_tiny", "cosmos_reason2_tiny", "tribev2_tiny"]
FAMILIES += ["tribev2_low_rank_tiny"]
COPIES = {"Cast", "Reshape", "Transpose", "Identity", "Unsqueeze", "Squeeze"}


def recipe_of(name: str) -> Recipe:
    """As the robot's GPU runs it: half precision, and with ears."""
    recipe = load_recipe(ENGINES / name)
    cut = recipe.text.cut
    if name == "qwen_omni_tiny":
        cut = msgspec.structs.replace(cut, audio_seconds=2)
    text = msgspec.structs.replace(recipe.text, precision="fp16", cut=cut)
    return Recipe(text, recipe.directory)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    directory = tmp_path_factory.mktemp(request.param)
    recipe = recipe_of(request.param)
    return Exported(recipe, directory, export_backbone(recipe, "random:0", directory))


def feeds(part: Part) -> list[dict[str, np.ndarray]]:
    chance = np.random.default_rng(0)
    return [
        {s.name: chance.standard_normal(s.shape).astype(s.dtype) for s in part.inputs}
        for _ in range(2)
    ]


def quantised(family: Exported, part: Part, bits: Bits, method: Method) -> ModelProto:
    graph = family.directory / part.onnx
    done = quantise(onnx.load(graph), feeds(part), bits, Kept(None, ""), method=method)
    return place(onnx.load(graph), done.layers)


@pytest.mark.parametrize("bits", ["int8", "int4"])
def test_only_linears_are_quantised_and_tensorrt_takes_it(
    family: Exported, tmp_path: Path, bits: Bits
) -> None:
    if family.recipe.name == "qwen_omni_tiny":
        assert [part.name for part in family.manifest.parts] == ["vision", "audio", "decoder"]
    for part in family.manifest.parts:
        exact = onnx.load(family.directory / part.onnx)
        placed = quantised(family, part, bits, Method(rounding="awq+gptq"))
        lint(placed)
        assert_only_linears(exact, placed)
        onnx.save(placed, tmp_path / "graph.onnx")
        compile_rtx(tmp_path / "graph.onnx", tmp_path / "plan")


@pytest.mark.parametrize("family", FAMILIES[:1], indirect=True)
def test_int4_and_int8_stand_in_one_graph(family: Exported, tmp_path: Path) -> None:
    part = family.manifest.parts[-1]
    exact = onnx.load(family.directory / part.onnx)
    names = [linear.name for linear in find_linears(exact)]
    placed = quantised(family, part, "int4", Method(int8=tuple(names[::3])))
    lint(placed)
    types = {tensor.name: tensor.data_type for tensor in placed.graph.initializer}
    for number, name in enumerate(names):
        wanted = onnx.TensorProto.INT4 if number % 3 else onnx.TensorProto.INT8
        assert types[f"{name}.codes"] == wanted
    onnx.save(placed, tmp_path / "graph.onnx")
    compile_rtx(tmp_path / "graph.onnx", tmp_path / "plan")


def assert_only_linears(exact: ModelProto, placed: ModelProto) -> None:
    """Read from the graphs alone: what is dequantised goes into products with constants, and
    every other operation is there as often as before and reads what it read."""
    linears = {linear.name for linear in find_linears(exact)}
    stored = {tensor.name for tensor in placed.graph.initializer}
    made = {name: node for node in placed.graph.node for name in node.output}
    for node in placed.graph.node:
        sources = [behind(made, name) for name in node.input if name]
        fed = [s.op_type for s in sources if s is not None and s.op_type.endswith("izeLinear")]
        if node.op_type == "DequantizeLinear":
            assert fed in ([], ["QuantizeLinear"])
        elif node.op_type == "QuantizeLinear":
            assert fed == []
        elif fed and node.op_type not in COPIES:
            assert node.op_type == "MatMul" and node.name in linears, node.name
            weight = behind(made, node.input[1])
            assert weight is not None and weight.input[0] in stored
    before, after = (Counter(node.op_type for node in m.graph.node) for m in (exact, placed))
    for op in ("Softmax", "Sqrt", "Reciprocal", "ReduceMean", "Sin", "Cos", "Sigmoid", "Erf"):
        assert before[op] == after[op], op
    products = before["MatMul"] + before["Gemm"]
    assert after["MatMul"] + after["Gemm"] == products


def behind(made: dict[str, NodeProto], name: str) -> NodeProto | None:
    """Who makes a tensor, seen through copies of it."""
    node = made.get(name)
    while node is not None and node.op_type in COPIES:
        node = made.get(node.input[0])
    return node
