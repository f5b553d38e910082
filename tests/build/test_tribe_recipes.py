"""TRIBE's recipes from weights to features: both fusions, senses, rates, and what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from neon_edge.build.calibrate.clip import from_clip
from neon_edge.build.calibrate.take import HEARD
from neon_edge.build.export import export_backbone
from neon_edge.build.quantise.feeds import host_feeds, part_feeds
from neon_edge.build.quantise.passes import open_pass
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.build.reference import ReferenceBackbone
from neon_edge.build.samples import camera_frames
from neon_edge.engine.manifest import BackboneManifest
from neon_edge.engine.plan import compile_part, open_engine, this_machine
from neon_edge.errors import ConfigWrong
from neon_edge.features.streams import StreamedBackbone, open_features
from neon_edge.types import AudioWindow, CameraFrame, Float32
from tests.build.bfloat import write_emulated
from tests.build.cpu.same import same_as_exported
from tests.build.test_bfloat import LEAST_COSINE
from tests.tiny_backbone import ENGINES, street, track

pytestmark = pytest.mark.slow

TINY = ["tribev2_tiny", "tribev2_low_rank_tiny"]
WORDS = ["Go.", "Pick up the red cup, then wave: 7 × schnell!"]
NS = 10**9


@dataclass
class Built:
    recipe: Recipe
    directory: Path
    manifest: BackboneManifest
    opened: list[StreamedBackbone] = field(default_factory=list)

    def backbone(self) -> StreamedBackbone:
        """A fresh one: nothing seen, heard or told."""
        machine = this_machine("onnxruntime")
        engines = [open_engine(self.directory, p, machine, 1) for p in self.manifest.parts]
        made = open_features(self.manifest, self.directory, engines)
        assert isinstance(made, StreamedBackbone)
        self.opened.append(made)
        return made


def built(recipe: Recipe, directory: Path) -> Built:
    manifest = export_backbone(recipe, None, directory)
    parts = [compile_part(directory, p, directory, "onnxruntime", 1) for p in manifest.parts]
    return Built(recipe, directory, structs.replace(manifest, parts=parts))


@pytest.fixture(scope="module", params=TINY)
def tribe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return built(load_recipe(ENGINES / request.param), tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def reference(tribe: Built) -> ReferenceBackbone:
    return ReferenceBackbone(tribe.recipe)


def window(start: int = 0, at_s: float = 1.0) -> list[CameraFrame]:
    return [CameraFrame(street()[(start + k) % 5], round(at_s * NS), "eye") for k in range(4)]


def sound(start: int = 0, at_s: float = 1.0) -> AudioWindow:
    return AudioWindow(track(2, start), 16000, round(at_s * NS))


def relative(ours: Float32, theirs: Float32) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def test_all_senses_equal_transformers(tribe: Built, reference: ReferenceBackbone) -> None:
    backbone = tribe.backbone()
    for place, words in enumerate(WORDS):
        backbone.instruct(words)
        backbone.see(window(place, 10.0 * place))
        backbone.hear(sound(place, 10.0 * place))
        backbone.infer()
        theirs = reference.pooled(window(place), words, sound(place))
        assert relative(backbone.pooled, theirs) <= 1e-4
    for other in (
        reference.pooled(window(0), words, sound(place)),
        reference.pooled(window(place), words, sound(0)),
        reference.pooled(window(place), WORDS[0], sound(place)),
    ):
        assert relative(other, theirs) > 1e-3, "every sense must matter"


def test_half_precision(tribe: Built, reference: ReferenceBackbone, tmp_path: Path) -> None:
    recipe = Recipe(structs.replace(tribe.recipe.text, precision="fp16"), tribe.recipe.directory)
    backbone = built(recipe, tmp_path).backbone()
    backbone.instruct(WORDS[1])
    backbone.see(window())
    backbone.hear(sound())
    backbone.infer()
    ours = backbone.pooled.astype(np.float64)
    theirs = reference.pooled(window(), WORDS[1], sound()).astype(np.float64)
    assert ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs) >= 0.9999
    pytest.importorskip("tensorrt_rtx_bindings")
    from neon_edge.engine.rtx import compile_rtx

    for graph in sorted(tmp_path.glob("*.onnx")):
        if ".ort." not in graph.name:
            compile_rtx(graph, graph.with_suffix(".plan"))
            assert graph.with_suffix(".plan").stat().st_size > 10_000


def test_bfloat16(tribe: Built, reference: ReferenceBackbone, tmp_path: Path) -> None:
    recipe = Recipe(structs.replace(tribe.recipe.text, precision="bf16"), tribe.recipe.directory)
    manifest = export_backbone(recipe, None, tmp_path)
    write_emulated(tmp_path, [part.onnx for part in manifest.parts], tmp_path)
    parts = [compile_part(tmp_path, p, tmp_path, "onnxruntime", 1) for p in manifest.parts]
    backbone = Built(recipe, tmp_path, structs.replace(manifest, parts=parts)).backbone()
    backbone.instruct(WORDS[1])
    backbone.see(window())
    backbone.hear(sound())
    backbone.infer()
    ours = backbone.pooled.astype(np.float64)
    theirs = reference.pooled(window(), WORDS[1], sound()).astype(np.float64)
    lost = 1 - ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
    print(f"{recipe.name}: 1 - cosine {lost:.2g}")
    assert 1e-7 < lost <= 1 - LEAST_COSINE


def test_moments_feed_every_part_what_a_robot_would(tribe: Built) -> None:
    adaptor = tribe.recipe.adaptor
    moments = from_clip(HEARD, WORDS, 2, tribe.recipe.window, 0, adaptor.audio)
    feeds = host_feeds(tribe.directory, tribe.manifest, moments)
    seen = [part.name for part, _ in part_feeds(tribe.directory, tribe.manifest, feeds, 1)]
    assert seen == [part.name for part in tribe.manifest.parts]
    backbone = tribe.backbone()
    assert moments.sounds is not None
    for place, fed in enumerate(feeds):
        backbone.instruct(moments.instructions[place])
        backbone.see(camera_frames(moments.frames[place]))
        backbone.hear(AudioWindow(moments.sounds[place], 16000, (place + 1) * 10**12))
        backbone.infer()
        assert relative(np.asarray(fed["pooled"]).reshape(-1), backbone.pooled) <= 1e-5
    with pytest.raises(ConfigWrong, match="holds no sound"):
        host_feeds(tribe.directory, tribe.manifest, replace(moments, sounds=None))


def test_a_timed_pass_encodes_every_sense(tribe: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, manifest = this_machine("onnxruntime"), tribe.manifest
    engines = [open_engine(tribe.directory, p, machine, 1) for p in manifest.parts]
    ran = dict.fromkeys(range(len(engines)), 0)
    for number, engine in enumerate(engines):

        def start(number: int = number, begin: Callable[[], None] = engine.start) -> None:
            ran[number] += 1
            begin()

        monkeypatch.setattr(engine, "start", start)
    infer, close = open_pass(manifest, tribe.directory, engines, WORDS[0])
    for _ in range(3):
        infer()
    close()
    names = [part.name.partition("_")[0] for part in manifest.parts]
    wanted = {"video": 3, "audio": 3, "text": 1, "fusion": 3}
    assert [ran[number] for number in range(len(names))] == [wanted[name] for name in names]


def test_a_deaf_robot_goes_on_and_hears_again(tribe: Built, reference: ReferenceBackbone) -> None:
    backbone = tribe.backbone()
    backbone.instruct(WORDS[0])
    backbone.see(window())
    backbone.hear(sound())
    backbone.infer()
    whole = backbone.pooled.copy()
    backbone.miss(["audio"])
    backbone.hear(sound(1, 9.0))
    assert backbone.due, "the next pass makes other features"
    backbone.infer()
    assert backbone.branches["audio"].ran == 1, "what is missing is not encoded"
    assert backbone.alive
    assert relative(backbone.pooled, reference.pooled(window(), WORDS[0])) <= 1e-4
    assert relative(backbone.pooled, whole) > 1e-3
    backbone.miss([])
    backbone.hear(sound(0, 9.1))
    backbone.infer()
    assert relative(backbone.pooled, whole) <= 1e-6, "it is back at once, whatever its rate"


def test_a_blind_robot_goes_on_by_ear_and_sees_again(tribe: Built) -> None:
    backbone = tribe.backbone()
    backbone.instruct(WORDS[0])
    backbone.see(window(0, 1.0))
    backbone.hear(sound(0, 1.0))
    backbone.infer()
    whole, video = backbone.pooled.copy(), backbone.branches["video"].ran
    assert backbone.seen_ns == NS
    backbone.miss(["video"])
    backbone.hear(sound(1, 2.0))
    backbone.infer()
    blind = backbone.pooled.copy()
    assert np.isfinite(blind).all()
    assert relative(blind, whole) > 1e-3
    assert backbone.alive
    assert backbone.seen_ns == 2 * NS, "its age is that of the sound it goes by"
    assert backbone.branches["video"].ran == video
    other = tribe.backbone()
    other.instruct(WORDS[0])
    other.miss(["video"])
    other.hear(sound(1, 2.0))
    other.infer()
    assert relative(other.pooled, blind) <= 1e-6, "nothing of what was seen is left"
    backbone.miss([])
    for frame in window(2, 3.0)[-1:]:
        backbone.see([frame])
    backbone.hear(sound(0, 3.0))
    backbone.infer()
    assert backbone.branches["video"].ran == video + 1
    assert backbone.seen_ns == 3 * NS
    backbone.miss(["video", "audio"])
    assert not backbone.alive, "features of words alone move no robot"


def test_branches_run_at_their_own_rates(tribe: Built) -> None:
    backbone = tribe.backbone()
    backbone.instruct(WORDS[0])
    passes = 0
    # Two seconds of a 25 Hz camera on the recipe's rates: video at 10 Hz, sound at 5 Hz.
    for k in range(51):
        at_s = 1 + k / 25
        backbone.see([CameraFrame(street()[k % 5], round(at_s * NS), "eye")])
        backbone.hear(sound(0, at_s))
        if k == 30:
            backbone.instruct(WORDS[1])
        if backbone.due:
            backbone.infer()
            passes += 1
    ran = {name: branch.ran for name, branch in backbone.branches.items()}
    assert ran["text"] == 2
    assert ran["audio"] == pytest.approx(11, abs=3)
    assert ran["video"] == pytest.approx(21, abs=6)
    assert ran["video"] <= passes <= 51


def test_bad_sound_and_bad_words_leave_the_features_as_they_are(tribe: Built) -> None:
    backbone = tribe.backbone()
    backbone.instruct(WORDS[0])
    backbone.see(window())
    backbone.hear(sound())
    backbone.infer()
    before, number = backbone.pooled.copy(), backbone.instruction_id
    wrong: list[Any] = [
        AudioWindow(track(2), 44100, 5 * NS),
        AudioWindow(track(1), 16000, 5 * NS),
    ]
    for window_ in wrong:
        with pytest.raises(ConfigWrong, match="not what the backbone was built for"):
            backbone.hear(window_)
    for words in ("word " * 60, "go <|end_of_text|>"):
        with pytest.raises(ConfigWrong):
            backbone.instruct(words)
    backbone.infer()
    assert np.array_equal(backbone.pooled, before)
    assert backbone.instruction_id == number


def test_features_that_are_not_finite_are_made_again(tribe: Built) -> None:
    backbone = tribe.backbone()
    backbone.instruct(WORDS[0])
    backbone.see(window())
    backbone.hear(sound())
    rows = backbone.branches["text"].input.copy()
    backbone.branches["text"].input[:] = np.nan
    backbone.infer()
    assert not np.isfinite(backbone.pooled).all()
    assert backbone.due
    np.copyto(backbone.branches["text"].input, rows)
    backbone.infer()
    assert np.isfinite(backbone.pooled).all()
    assert not backbone.due


def test_attentions_are_one_operator_on_a_cpu(tribe: Built, tmp_path: Path) -> None:
    for part in tribe.manifest.parts:
        ops = same_as_exported(tribe.directory, part, tmp_path)
        if part.name.startswith(("text", "video")):
            assert ops["Attention"] >= 1 and ops["Softmax"] == 0, part.name
        if part.name.startswith("text"):
            assert ops["RotaryEmbedding"] >= 2, part.name
