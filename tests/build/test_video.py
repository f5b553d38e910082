"""Windows that are one video: every family's graphs against transformers' own model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from neon_edge.build.calibrate.clip import from_clip
from neon_edge.build.calibrate.take import CLIP
from neon_edge.build.export import export_backbone
from neon_edge.build.quantise.feeds import host_feeds, part_feeds
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.build.reference import ReferenceBackbone, reference_pooled
from neon_edge.engine.onnxruntime import OnnxRuntimeEngine
from neon_edge.errors import PlanUnfit
from neon_edge.features.backbone import Backbone
from neon_edge.types import AudioWindow, CameraFrame, Float32
from tests.tiny_backbone import ENGINES, Exported, film, track

TINY = ["qwen_vl_tiny", "qwen_omni_tiny", "cosmos_reason2_tiny"]
INSTRUCTIONS = ["", "Follow the bicycle.", "Stop in front of the door: 7 × schnell!"]
TEXT = {"cosmos_reason2_tiny": 160}
"""Times are words there, and the tiny vocabulary spells them letter by letter."""


def relative(ours: Float32, theirs: Float32) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def filmed(name: str, **changes: object) -> Recipe:
    recipe = load_recipe(ENGINES / name)
    room = TEXT.get(name, recipe.text.cut.text_tokens)
    changes = {"video": True, "text_tokens": room, **changes}
    cut = msgspec.structs.replace(recipe.text.cut, **changes)
    return Recipe(msgspec.structs.replace(recipe.text, cut=cut), recipe.directory)


def frames(count: int, first: int = 0) -> list[CameraFrame]:
    return [CameraFrame(image, 1, "street") for image in film(first + count)[first:]]


def running(exported: Exported, remember: bool = True) -> Backbone:
    manifest, directory = exported.manifest, exported.directory
    engines = [OnnxRuntimeEngine(directory / part.onnx, 1) for part in manifest.parts]
    backbone = Backbone(manifest, directory, list(engines), remember)
    backbone.instruct(INSTRUCTIONS[1])
    return backbone


def passed(backbone: Backbone, window: list[CameraFrame]) -> Float32:
    backbone.see(window)
    backbone.infer()
    pooled: Float32 = backbone.pooled.copy()
    return pooled


@pytest.fixture(scope="module", params=TINY)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    recipe = filmed(request.param, window=6, video_fps=4.0)
    directory = tmp_path_factory.mktemp(request.param)
    return Exported(recipe, directory, export_backbone(recipe, None, directory))


@pytest.fixture(scope="module")
def reference(family: Exported) -> Iterator[ReferenceBackbone]:
    yield ReferenceBackbone(family.recipe)


def test_graphs_equal_transformers(family: Exported, reference: ReferenceBackbone) -> None:
    image = family.manifest.image
    assert (image.count, image.steps, family.manifest.cameras) == (6, 3, 1)
    for first, instruction in enumerate(INSTRUCTIONS):
        seen = frames(6, first)
        theirs = reference.pooled(seen, instruction)
        assert relative(family.pooled(seen, instruction), theirs) <= 1e-4


def test_the_order_of_frames_matters(family: Exported, reference: ReferenceBackbone) -> None:
    """Also that of two frames in one pair, which only a video's patches tell apart."""
    seen, instruction = frames(6), INSTRUCTIONS[1]
    theirs = reference.pooled(seen, instruction)
    for other in (seen[::-1], [seen[1], seen[0], *seen[2:]]):
        assert relative(family.pooled(other, instruction), theirs) > 1e-4


def test_the_times_that_are_told_matter(family: Exported) -> None:
    recipe = family.recipe
    cut = msgspec.structs.replace(recipe.text.cut, video_fps=0.5)
    slow = Recipe(msgspec.structs.replace(recipe.text, cut=cut), recipe.directory)
    seen, instruction = frames(6), INSTRUCTIONS[1]
    theirs = reference_pooled(slow, None, seen, instruction)
    assert relative(family.pooled(seen, instruction), theirs) > 1e-4


@pytest.mark.parametrize("name", TINY)
def test_two_cameras_a_split_decoder_and_a_folded_prefix(name: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"pictures": 2, "window": 4, "layers_per_part": 2, "width": 448}
    recipe = filmed(name, **changes, tap="pre_norm", fold_prefix=True, text_tokens=200)
    exported = Exported(recipe, tmp_path, export_backbone(recipe, "random:5", tmp_path))
    seen = frames(4) + frames(4, 6)
    ours = exported.pooled(seen, INSTRUCTIONS[1])
    theirs = reference_pooled(recipe, "random:5", seen, INSTRUCTIONS[1])
    assert relative(ours, theirs) <= 1e-4
    swapped = reference_pooled(recipe, "random:5", seen[4:] + seen[:4], INSTRUCTIONS[1])
    assert relative(ours, swapped) > 1e-4, "the order of cameras must matter"


def test_moments_that_are_asked_for_together_equal_each_by_itself() -> None:
    reference = ReferenceBackbone(filmed("qwen_vl_tiny", window=4, pictures=2, video_fps=1.0))
    moments = [frames(8), frames(8, 3)]
    together = reference.pooled_each(moments, [INSTRUCTIONS[1]] * 2)
    for row, seen in zip(together, moments, strict=True):
        assert relative(row, reference.pooled(seen, INSTRUCTIONS[1])) <= 1e-5


def test_omni_watches_a_video_and_listens(tmp_path: Path) -> None:
    recipe = filmed("qwen_omni_tiny", window=4, audio_seconds=2)
    exported = Exported(recipe, tmp_path, export_backbone(recipe, None, tmp_path))
    sound = AudioWindow(track(2), 16000, 1)
    ours = exported.pooled(frames(4), INSTRUCTIONS[1], sound)
    theirs = ReferenceBackbone(recipe).pooled(frames(4), INSTRUCTIONS[1], sound)
    assert relative(ours, theirs) <= 1e-4


def test_every_part_is_a_tensorrt_graph(family: Exported, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    from neon_edge.engine.rtx import compile_rtx

    for part in family.manifest.parts:
        plan = tmp_path / f"{part.name}.plan"
        compile_rtx(family.directory / part.onnx, plan)
        assert plan.stat().st_size > 100_000


@pytest.fixture(scope="module", params=TINY)
def alone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    recipe = filmed(request.param, window=6, vision_apart=True)
    directory = tmp_path_factory.mktemp(request.param)
    return Exported(recipe, directory, export_backbone(recipe, None, directory))


def test_pairs_that_pass_alone_and_are_remembered_give_the_same_bits(alone: Exported) -> None:
    cached, full = running(alone), running(alone, remember=False)
    assert cached.apart is not None
    counts = []
    for first in range(6):
        before = cached.apart.encoded
        window = frames(6, first)
        assert np.array_equal(passed(cached, window), passed(full, window))
        counts.append(cached.apart.encoded - before)
    # Slid by one frame, all are paired anew; from then on either pairing is known.
    assert counts == [3, 3, 1, 1, 1, 1]
    theirs = ReferenceBackbone(alone.recipe).pooled(frames(6, 5), INSTRUCTIONS[1])
    assert relative(passed(cached, frames(6, 5)), theirs) <= 1e-4
    cached.close()
    full.close()


def test_one_camera_rolls_through_a_video_of_its_own(alone: Exported) -> None:
    """Whatever the rate of passes, one pair is new: the one with the newest frame."""
    rolling = running(alone)
    assert rolling.apart is not None
    for index, image in enumerate(film(24)):
        # 12 pictures a second through a window of 4 a second.
        passed(rolling, [CameraFrame(image, (index + 10) * 10**9 // 12, "street")])
        assert rolling.apart.encoded == index + 1
    rolling.close()


def test_a_vision_plan_of_another_shape_is_refused(family: Exported) -> None:
    stills = msgspec.structs.replace(family.manifest.image, video_fps=0.0)
    manifest = msgspec.structs.replace(family.manifest, image=stills)
    with pytest.raises(PlanUnfit, match="takes other pictures") as refused:
        running(Exported(family.recipe, family.directory, manifest))
    assert "6 pictures, 6 at a time" in refused.value.facts


def calibrated_like_a_robot_sees(exported: Exported, pieces: int) -> None:
    manifest, directory = exported.manifest, exported.directory
    moments = from_clip(CLIP, [INSTRUCTIONS[1]], 2, exported.recipe.window, seed=0)
    feeds = host_feeds(directory, manifest, moments)
    shown = [len(fed) for _, fed in part_feeds(directory, manifest, feeds, 1)]
    assert shown == [2 * pieces, 2]
    backbone = running(exported)
    for tensors, seen in zip(feeds, moments.frames, strict=True):
        ours = passed(backbone, [CameraFrame(image, 1, "clip") for image in seen])
        assert relative(ours, tensors["pooled"][0]) <= 1e-6
    backbone.close()


def test_quantisation_is_calibrated_on_videos(family: Exported) -> None:
    calibrated_like_a_robot_sees(family, 1)


def test_quantisation_is_calibrated_on_pairs(alone: Exported) -> None:
    calibrated_like_a_robot_sees(alone, 3)
