"""Pictures that are remembered against pictures that are encoded: the same bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.build.export import export_backbone
from neon_edge.build.recipe import Recipe
from neon_edge.build.reference import ReferenceBackbone
from neon_edge.engine.manifest import BackboneManifest
from neon_edge.engine.onnxruntime import OnnxRuntimeEngine
from neon_edge.errors import ConfigWrong
from neon_edge.features.backbone import Backbone
from neon_edge.types import CameraFrame, Float32, UInt8
from tests.tiny_backbone import tiny_text

INSTRUCTION = "Follow the bicycle."
WINDOW = 4


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    text = tiny_text().text
    cut = msgspec.structs.replace(text.cut, pictures=WINDOW, vision_apart=True)
    return Recipe(msgspec.structs.replace(text, cut=cut), tiny_text().directory)


@pytest.fixture(scope="module")
def exported(
    recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, BackboneManifest]:
    directory = tmp_path_factory.mktemp("apart")
    return directory, export_backbone(recipe, None, directory)


def opened(exported: tuple[Path, BackboneManifest], remember: bool = True) -> Backbone:
    directory, manifest = exported
    engines = [OnnxRuntimeEngine(directory / part.onnx, 1) for part in manifest.parts]
    backbone = Backbone(manifest, directory, list(engines), remember)
    backbone.instruct(INSTRUCTION)
    return backbone


@pytest.fixture
def cached(exported: tuple[Path, BackboneManifest]) -> Iterator[Backbone]:
    backbone = opened(exported)
    yield backbone
    backbone.close()


@pytest.fixture
def full(exported: tuple[Path, BackboneManifest]) -> Iterator[Backbone]:
    backbone = opened(exported, remember=False)
    yield backbone
    backbone.close()


def stream(pictures: list[UInt8], count: int) -> list[CameraFrame]:
    """Different real pictures: every one is another part of the street."""
    return [
        CameraFrame(np.roll(pictures[n % len(pictures)], 16 * n, axis=1), n, "street")
        for n in range(count)
    ]


def passed(backbone: Backbone, window: list[CameraFrame]) -> Float32:
    backbone.see(window)
    backbone.infer()
    pooled: Float32 = backbone.pooled.copy()
    return pooled


def encoded(backbone: Backbone) -> int:
    assert backbone.apart is not None
    return backbone.apart.encoded


def test_a_sliding_window_encodes_what_is_new_and_gives_the_same_bits(
    cached: Backbone, full: Backbone, pictures: list[UInt8]
) -> None:
    frames = stream(pictures, 10)
    for start in range(7):
        window = frames[start : start + WINDOW]
        assert np.array_equal(passed(cached, window), passed(full, window))
    assert encoded(cached) == WINDOW + 6
    assert encoded(full) == WINDOW * 7


def test_one_camera_rolls_through_a_window_of_its_own(
    recipe: Recipe,
    exported: tuple[Path, BackboneManifest],
    full: Backbone,
    pictures: list[UInt8],
) -> None:
    """The same graphs, told that all pictures of a pass are one camera's."""
    directory, manifest = exported
    image = msgspec.structs.replace(manifest.image, window=WINDOW, window_hz=4.0)
    rolling = opened((directory, msgspec.structs.replace(manifest, image=image)))
    quarter_ns = 250_000_000
    frames = [
        dataclasses.replace(frame, captured_ns=(n + 4) * quarter_ns)
        for n, frame in enumerate(stream(pictures, 8))
    ]
    for at in range(8):
        window = [frames[max(at - back, 0)] for back in reversed(range(WINDOW))]
        assert np.array_equal(passed(rolling, [frames[at]]), passed(full, window))
    assert encoded(rolling) == 8
    with pytest.raises(ConfigWrong, match="another number of cameras") as refused:
        rolling.see(frames[:2])
    assert refused.value.facts == "2 against 1"
    rolling.close()


def test_one_picture_at_a_time_equals_transformers(
    cached: Backbone, recipe: Recipe, pictures: list[UInt8]
) -> None:
    window = stream(pictures, WINDOW)
    theirs = ReferenceBackbone(recipe).pooled(window, INSTRUCTION)
    ours = passed(cached, window)
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_a_camera_that_stands_still_and_one_that_moves(
    cached: Backbone, full: Backbone, pictures: list[UInt8]
) -> None:
    frames = stream(pictures, 8)
    for moving in frames[3:]:
        window = [*frames[:3], moving]
        assert np.array_equal(passed(cached, window), passed(full, window))
    assert encoded(cached) == 3 + 5
    # The same pictures in another order are other features, and nothing is encoded for them.
    swapped = [frames[1], frames[0], frames[2], frames[7]]
    before = passed(cached, [*frames[:3], frames[7]])
    after = passed(cached, swapped)
    assert encoded(cached) == 3 + 5
    assert not np.array_equal(before, after)
    assert np.array_equal(after, passed(full, swapped))


def test_a_camera_may_write_into_the_same_memory(
    cached: Backbone, full: Backbone, pictures: list[UInt8]
) -> None:
    memory = [picture.copy() for picture in pictures[:WINDOW]]
    window = [CameraFrame(picture, 1, "street") for picture in memory]
    passed(cached, window)
    memory[2][5, 5, 1] ^= 1
    assert np.array_equal(passed(cached, window), passed(full, window))
    assert encoded(cached) == WINDOW + 1, "one level of one pixel is another picture"


def decodings(backbone: Backbone) -> list[int]:
    """Grows by one with every pass of the decoder."""
    ran: list[int] = []
    decoder = backbone._engines[-1]
    start = decoder.start

    def counted() -> None:
        ran.append(1)
        start()

    decoder.start = counted  # type: ignore[method-assign]
    return ran


def test_a_pass_of_which_nothing_is_new_is_not_computed(
    cached: Backbone, full: Backbone, pictures: list[UInt8]
) -> None:
    ran, always = decodings(cached), decodings(full)
    still = stream(pictures, 5)
    first = passed(cached, still[:WINDOW])
    for _ in range(3):
        assert np.array_equal(passed(cached, still[:WINDOW]), first)
        assert np.array_equal(passed(full, still[:WINDOW]), first)
    assert (len(ran), len(always)) == (1, 3)
    # Another order, another picture or another instruction is another pass.
    for window in ([*still[1:WINDOW], still[0]], still[1:]):
        assert np.array_equal(passed(cached, window), passed(full, window))
    for backbone in (cached, full):
        backbone.instruct("Stand still.")
    assert np.array_equal(passed(cached, still[1:]), passed(full, still[1:]))
    assert len(ran) == 4


def test_broken_features_are_computed_again(cached: Backbone, pictures: list[UInt8]) -> None:
    window = stream(pictures, WINDOW)
    ran = decodings(cached)
    wanted = passed(cached, window)
    cached.instruct(INSTRUCTION)
    weights = cached._hosted["pool_weights"]
    weights[0, 0] = np.nan
    assert not np.isfinite(passed(cached, window)).all()
    weights[0, 0] = weights[0, 1]
    assert np.array_equal(passed(cached, window), wanted)
    assert len(ran) == 3


def test_what_is_not_finite_is_not_remembered(cached: Backbone, pictures: list[UInt8]) -> None:
    apart = cached.apart
    assert apart is not None
    window = stream(pictures, WINDOW)
    broken = apart._engine.outputs["image_embeds"]
    run = apart._engine.start

    def spoil() -> None:
        run()
        broken[0, 0, 0] = np.nan

    apart._engine.start = spoil  # type: ignore[method-assign]
    assert not np.isfinite(passed(cached, window)).all()
    apart._engine.start = run  # type: ignore[method-assign]
    assert np.isfinite(passed(cached, window)).all()
    assert encoded(cached) == 2 * WINDOW


def test_a_picture_that_is_none_changes_nothing(cached: Backbone, pictures: list[UInt8]) -> None:
    window = stream(pictures, WINDOW)
    before = passed(cached, window)
    bad = CameraFrame(np.zeros((4, 4), np.uint8), 9, "street")
    with pytest.raises(ConfigWrong, match="not a picture"):
        cached.see([*window[:3], bad])
    assert np.array_equal(passed(cached, window), before)
    assert encoded(cached) == WINDOW
