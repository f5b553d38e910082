"""`neon-edge build` of TRIBE from folders that transformers wrote, to verified plans."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from neon_edge.build import pipeline
from neon_edge.build.calibrate.moments import read_moments
from neon_edge.build.calibrate.take import HEARD
from neon_edge.build.pipeline import BuildRequest
from neon_edge.build.placed import LOCK
from neon_edge.build.quantise.bundle import Work
from neon_edge.build.quantise.choose import choose
from neon_edge.build.recipe import Quantise, Recipe, load_recipe
from neon_edge.build.reference import ReferenceBackbone
from neon_edge.build.samples import camera_frames, read_samples
from neon_edge.build.trained_fusion import TRAINED
from neon_edge.cli.inspect import describe
from neon_edge.engine.manifest import read_manifest
from neon_edge.errors import ConfigWrong
from neon_edge.types import AudioWindow
from tests.build.published_words import Stored, encoders, fused, tribe_folders
from tests.conftest import ROOT, neon_edge
from tests.tiny_backbone import ENGINES

pytestmark = pytest.mark.slow


class Held(Stored):
    """Encoders and fusion in memory, as weights."""

    def __init__(self, recipe: Recipe, folders: Path) -> None:
        super().__init__(**encoders(recipe))
        self.directory = folders / "text"
        self._held |= {f"fusion.{name}": value for name, value in fused(recipe).items()}


def trained_on(recipe: Recipe, directory: Path) -> Path:
    """A checkpoint of the recipe's backbone, with the fusion where upstream saves it."""
    ids = [recipe.text.model_id, "--pooled", str(recipe.adaptor.width)]
    upstream = recipe.text.config.low_rank is None
    more = ["--tribe"] if upstream else []
    script = str(ROOT / "scripts" / "make_checkpoint.py")
    command = [sys.executable, script, str(directory), "--backbone-id", *ids, *more]
    subprocess.run(command, check=True, cwd=ROOT)
    if upstream:
        path = directory / "neon_weights.pt"
        held = torch.load(path, weights_only=True)
        held |= {TRAINED + name: value for name, value in fused(recipe).items()}
        torch.save(held, path)
    return directory


@pytest.fixture(scope="module", params=["tribev2_low_rank_tiny", "tribev2_tiny"])
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return load_recipe(ENGINES / request.param)


@pytest.fixture(scope="module")
def folders(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tribe_folders(recipe, tmp_path_factory.mktemp("folders"))


@pytest.fixture(scope="module")
def checkpoint(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_on(recipe, tmp_path_factory.mktemp("checkpoint"))


def build(recipe: Recipe, checkpoint: Path, *more: str) -> subprocess.CompletedProcess[str]:
    named = str(ENGINES / recipe.name)
    given = ["--checkpoint", str(checkpoint), "--threads", "1", *more]
    return neon_edge("build", named, *given, timeout=1200)


def asked(recipe: Recipe, checkpoint: Path, weights: Path, out: Path) -> BuildRequest:
    return BuildRequest(str(ENGINES / recipe.name), checkpoint, str(weights), out)


@pytest.fixture(scope="module")
def out(
    recipe: Recipe, folders: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Plans and their bundle."""
    place = tmp_path_factory.mktemp("out")
    done = build(recipe, checkpoint, "--weights", str(folders), "--out", str(place))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("MOVING:") == 3 + (recipe.text.config.low_rank is not None)
    return place


def test_int8_is_calibrated_on_a_clip_with_sound_and_timed(
    recipe: Recipe, out: Path, tmp_path: Path
) -> None:
    ranges = tmp_path / "ranges"
    given = ["--clip", HEARD, "--moments", "2", "--bundle", str(out / "bundle")]
    named = str(ENGINES / recipe.name)
    done = neon_edge("calibrate", named, *given, "--out", str(ranges), "--json", timeout=1200)
    assert done.returncode == 0, done.stderr
    parts = {name.partition("_")[0].partition("/")[0] for name in json.loads(done.stdout)["ranges"]}
    assert parts == {"video", "audio", "text", "fusion"}
    settings = Quantise(
        cosine=0.9, joint_p99_rad=0.5, joint_max_rad=1.0, joint_rad_s=100.0, base_m_s=1.0,
        base_rad_s=1.0, opening=1.0,
    )  # fmt: skip
    shutil.copytree(out / "bundle", tmp_path / "bundle")
    moments, kept = read_moments(ranges), tmp_path / "kept"
    work = Work(tmp_path / "bundle", moments, settings, 1, kept, "onnxruntime")
    chosen = read_manifest(choose(work, tmp_path, ("int8",), lambda _: None))
    table = {row.name: row for row in chosen.candidates}
    assert all(row.passed and row.median_ms > 0 for row in table.values()), table
    assert table["int8"].weight_bytes < 0.5 * table["float"].weight_bytes


def test_plans_of_published_weights_show_what_transformers_makes_of_them(
    recipe: Recipe, folders: Path, out: Path
) -> None:
    manifest = read_manifest(out / "current")
    assert all(gate.passed for gate in manifest.gates)
    sources = {source.name: source for source in manifest.backbone.sources}
    assert list(sources) == ["video", "audio", "text", "fusion"]
    assert all(len(source.sha256) == 64 for source in sources.values())
    told = "\n".join(describe(manifest))
    assert all(source.sha256 in told for source in sources.values())
    limits = manifest.verification
    samples = read_samples(out / "bundle" / limits.samples, limits.samples_sha256)
    assert samples.sounds is not None
    reference = ReferenceBackbone(recipe, Held(recipe, folders))
    for index, (moment, ours) in enumerate(zip(samples.frames[:2], samples.pooled, strict=False)):
        heard = AudioWindow(samples.sounds[index], 16000, 1)
        said = samples.instructions[index]
        theirs = reference.pooled(camera_frames(moment), said, heard)
        assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


@pytest.mark.parametrize("place", ["video", "audio", "text", "fusion"])
def test_a_piece_that_is_cut_short_or_missing_is_named(
    recipe: Recipe, folders: Path, checkpoint: Path, tmp_path: Path, place: str
) -> None:
    if place == "fusion" and recipe.text.config.low_rank is None:
        pytest.skip("the checkpoint holds it")
    broken = shutil.copytree(folders, tmp_path / "broken")
    path = broken / place / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for what in ("is damaged or cut off", "no weights in"):
        with pytest.raises(ConfigWrong, match=what) as caught:
            pipeline.build(asked(recipe, checkpoint, broken, tmp_path / "out"), lambda _: None)
        assert str(broken / place) in str(caught.value)
        assert [path.name for path in (tmp_path / "out").iterdir()] == [LOCK]
        shutil.rmtree(broken / place)
        (broken / place).mkdir()


def test_a_fusion_of_other_sizes_is_refused_by_name(
    recipe: Recipe, folders: Path, checkpoint: Path, tmp_path: Path
) -> None:
    name, given = "projectors.video.weight", shutil.copytree(folders, tmp_path / "folders")
    if recipe.text.config.low_rank is None:
        shutil.copytree(checkpoint, tmp_path / "checkpoint")
        checkpoint, name = tmp_path / "checkpoint", "projectors.video.net.0.weight"
        held = torch.load(checkpoint / "neon_weights.pt", weights_only=True)
        held[TRAINED + name] = torch.ones(3)
        torch.save(held, checkpoint / "neon_weights.pt")
    else:
        from safetensors.torch import save_file

        path = given / "fusion" / "model.safetensors"
        save_file({**load_file(path), name: torch.ones(3)}, path)
    with pytest.raises(ConfigWrong) as caught:
        pipeline.build(asked(recipe, checkpoint, given, tmp_path / "out"), lambda _: None)
    assert name in str(caught.value)


def test_published_without_sources_says_what_it_would_need(
    recipe: Recipe, checkpoint: Path, tmp_path: Path
) -> None:
    refused = build(recipe, checkpoint, "--weights", "published", "--out", str(tmp_path))
    assert refused.returncode == 78
    lines = refused.stderr.strip().split("\n")
    assert len(lines) == 3, "what is wrong, the facts, what to do"
    assert "does not say where video is published" in lines[1]
