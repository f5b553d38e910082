"""Picture, sound and text together: Omni's graphs against transformers' thinker."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.build.export import export_backbone
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.build.reference import ReferenceBackbone
from neon_edge.errors import ConfigWrong
from neon_edge.types import AudioWindow, CameraFrame, Float32
from tests.build.cpu.same import same_as_exported
from tests.tiny_backbone import ENGINES, Exported, tiny_text, track

INSTRUCTIONS = ["", "Pick up the red cup.", "Turn to whoever is speaking, then wave: 7 × schnell!"]


def relative(ours: Float32, theirs: Float32) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def listening(seconds: int, **changes: object) -> Recipe:
    recipe = tiny_text()
    cut = msgspec.structs.replace(recipe.text.cut, audio_seconds=seconds, **changes)
    return Recipe(msgspec.structs.replace(recipe.text, cut=cut), recipe.directory)


def window(seconds: int, start: int = 0) -> AudioWindow:
    return AudioWindow(track(seconds, start), 16000, 1)


@pytest.fixture(scope="module")
def omni(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    recipe = listening(2)
    directory = tmp_path_factory.mktemp("omni")
    return Exported(recipe, directory, export_backbone(recipe, None, directory))


def test_graphs_equal_transformers(omni: Exported, frames: list[CameraFrame]) -> None:
    reference = ReferenceBackbone(omni.recipe)
    assert [part.name for part in omni.manifest.parts] == ["vision", "audio", "decoder"]
    assert omni.manifest.tokens == 64 + 50 + 96
    for place, instruction in enumerate(INSTRUCTIONS):
        ours = omni.pooled([frames[place]], instruction, window(2, place))
        theirs = reference.pooled([frames[place]], instruction, window(2, place))
        assert relative(ours, theirs) <= 1e-4
    other = omni.pooled([frames[2]], INSTRUCTIONS[2], window(2, 0))
    assert relative(other, theirs) > 1e-3, "what is heard must matter"


def test_several_chunks_two_cameras_and_a_split_decoder(
    frames: list[CameraFrame], tmp_path: Path
) -> None:
    recipe = listening(4, pictures=2, layers_per_part=2, text_tokens=80)
    exported = Exported(recipe, tmp_path, export_backbone(recipe, "random:3", tmp_path))
    ours = exported.pooled(frames[:2], INSTRUCTIONS[1], window(4, 1))
    theirs = ReferenceBackbone(recipe, "random:3").pooled(frames[:2], INSTRUCTIONS[1], window(4, 1))
    assert relative(ours, theirs) <= 1e-4


def test_every_part_is_a_tensorrt_graph(omni: Exported, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    from neon_edge.engine.rtx import compile_rtx

    for part in omni.manifest.parts:
        compile_rtx(omni.directory / part.onnx, tmp_path / f"{part.name}.plan")
        assert (tmp_path / f"{part.name}.plan").stat().st_size > 100_000


def test_a_cut_that_no_ear_takes() -> None:
    with pytest.raises(ConfigWrong, match="whole chunks") as caught:
        listening(3)
    assert "multiples of 2 s" in caught.value.fix
    deaf = load_recipe(ENGINES / "qwen_vl_tiny")
    cut = msgspec.structs.replace(deaf.text.cut, audio_seconds=2)
    with pytest.raises(ConfigWrong, match="does not listen"):
        Recipe(msgspec.structs.replace(deaf.text, cut=cut), deaf.directory)


def test_the_real_audio_tower_has_the_published_size() -> None:
    recipe = load_recipe(ENGINES / "qwen_omni_3b")
    cut = msgspec.structs.replace(recipe.text.cut, audio_seconds=2)
    shapes = type(recipe.adaptor)(recipe.text.config, cut).tensors()
    ear = {n: s for n, s in shapes.items() if n.startswith("thinker.audio_tower.")}
    assert sum(int(np.prod(shape)) for shape in ear.values()) == pytest.approx(0.64e9, rel=1e-2)
    assert ear["thinker.audio_tower.conv1.weight"] == (1280, 128, 3)
    assert ear["thinker.audio_tower.layers.31.fc1.weight"] == (5120, 1280)
    assert not any(n.startswith("thinker.audio_tower.") for n in recipe.adaptor.tensors())


def test_every_attention_is_one_operator_on_a_cpu(omni: Exported, tmp_path: Path) -> None:
    for part in omni.manifest.parts:
        ops = same_as_exported(omni.directory, part, tmp_path)
        assert ops["Attention"] >= 2 and ops["Softmax"] == 0, part.name
