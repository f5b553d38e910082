"""A recipe that gives its tokens out and a head that attends to them, from checkpoint to motion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from neon.model.neon_vla import NeonVLA
from neon.model.video_backbone import BackboneConfig

from neon_edge.build.match import check_match
from neon_edge.build.recipe import load_recipe
from neon_edge.build.samples import FILE_NAME, read_samples
from neon_edge.build.verify_features import features_gates
from neon_edge.checkpoint import load_checkpoint
from neon_edge.config import load_robot
from neon_edge.engine.manifest import read_manifest, write_manifest
from neon_edge.engine.plan import open_heads_engine
from neon_edge.errors import ConfigWrong, PlanUnfit
from neon_edge.runtime.messages import POOLED
from neon_edge.runtime.plans import admit
from neon_edge.runtime.recorded_run import recorded_run
from neon_edge.runtime.replay import replay
from neon_edge.telemetry.recording import Recorded
from tests.build.test_heads_tokens import ATTENDS, ran, upstreams
from tests.checkpoint.upstream import POOLED as WIDTH
from tests.checkpoint.upstream import save_upstream
from tests.conftest import ROOT, neon_edge


def checkpoint_in(directory: Path, **settings: Any) -> NeonVLA:
    backbone = BackboneConfig(model_id="neon-edge/qwen-vl-tiny", hidden_size=WIDTH)
    given = {**ATTENDS, "flow_cross_attention_dim": None, "control_mode": "whole_body", **settings}
    return save_upstream(directory, backbone=backbone, **given)


def recipe_in(directory: Path) -> Path:
    text = (ROOT / "engines" / "qwen_vl_tiny" / "recipe.toml").read_text(encoding="utf-8")
    shows = text.replace("[cut]\n", "[cut]\ntokens = true\n")
    directory.mkdir()
    (directory / "recipe.toml").write_text(shows, encoding="utf-8")
    return directory


class Made:
    """Plans, and what the build told."""

    def __init__(self, place: Path, *, blind: bool = False) -> None:
        self.model = checkpoint_in(place / "checkpoint", use_proprioception=not blind)
        build = ["--checkpoint", str(place / "checkpoint"), "--out", str(place / "built")]
        done = neon_edge("build", str(recipe_in(place / "recipe")), *build, "--threads", "1")
        assert done.returncode == 0, done.stderr
        self.told, self.checkpoint = done.stderr, place / "checkpoint"
        self.plans, self.bundle = (
            (place / "built" / name).resolve() for name in ("current", "bundle")
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    yield Made(tmp_path_factory.mktemp("attending"))


@pytest.mark.slow
def test_the_build_says_so_and_gates_the_tokens(made: Made) -> None:
    manifest = read_manifest(made.plans)
    assert "attends to the backbone's tokens" in made.told
    assert manifest.backbone.shown == manifest.heads.attended == 160
    gates = {gate.name: gate for gate in manifest.gates}
    assert gates["tokens"].passed and gates["backbone and heads"].passed
    assert 0 < gates["tokens"].measured <= 1e-4
    assert admit(made.plans, load_robot("sim")).heads.attended


@pytest.mark.slow
def test_plans_do_what_upstreams_module_does_with_the_same_tokens(made: Made) -> None:
    manifest = read_manifest(made.plans)
    samples = read_samples(made.bundle / FILE_NAME, manifest.verification.samples_sha256)
    engine = open_heads_engine(made.plans, manifest.heads, manifest.machine)
    checkpoint, tokens = load_checkpoint(made.checkpoint), samples.seen.tokens
    assert tokens is not None
    poses = len(samples.chunk) // len(samples.pooled)
    for row in range(0, len(samples.chunk), poses):
        moment = row // poses
        samples.seen.put(moment, engine)
        seen = {name: values[row : row + 1] for name, values in samples.inputs.items()}
        given = {**seen, "pooled": samples.pooled[moment : moment + 1]}
        wanted = upstreams(made.model, checkpoint, given, tokens[moment])
        assert np.abs(ran(engine, seen) - wanted).max() <= 1e-4
        assert np.abs(samples.chunk[row] - wanted).max() <= 1e-4


@pytest.mark.slow
def test_other_tokens_miss_the_gate(made: Made) -> None:
    manifest = read_manifest(made.plans)
    samples = read_samples(made.bundle / FILE_NAME, manifest.verification.samples_sha256)
    tokens = samples.seen.tokens
    assert tokens is not None
    swapped = samples.seen._replace(tokens=[rows[::-1] for rows in tokens])
    by_name = {gate.name: gate for gate in features_gates(swapped, samples, manifest.verification)}
    assert by_name["pooled features"].passed and not by_name["tokens"].passed
    short = samples.seen._replace(tokens=[rows[1:] for rows in tokens])
    with pytest.raises(ConfigWrong, match="as many tokens"):
        features_gates(short, samples, manifest.verification)


@pytest.mark.slow
def test_heads_that_attend_are_refused_where_no_tokens_come(made: Made, tmp_path: Path) -> None:
    manifest = read_manifest(made.plans)
    last = msgspec.structs.replace(
        manifest.backbone.parts[-1], outputs=manifest.backbone.parts[-1].outputs[:1]
    )
    silent = msgspec.structs.replace(manifest.backbone, parts=[*manifest.backbone.parts[:-1], last])
    write_manifest(tmp_path, msgspec.structs.replace(manifest, backbone=silent))
    with pytest.raises(PlanUnfit, match="attend to the backbone's tokens") as refused:
        admit(tmp_path, load_robot("sim"))
    assert "160 rows wanted, 0 given" in refused.value.facts


@pytest.mark.slow
def test_a_robot_is_driven_and_its_recording_replays_bit_for_bit(tmp_path: Path) -> None:
    # Blind, so that replies that are late on a busy machine play no part in it.
    made, file = Made(tmp_path, blind=True), tmp_path / "run.mcap"
    where = ["--robot", "sim", "--engines", str(made.plans), "--record", str(file)]
    done = neon_edge("run", *where, "--seconds", "4", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["backbone_passes"] > 3
    recorded, run, seen = Recorded(file), None, 0
    for message in recorded.messages():
        run = run or recorded_run(recorded)
        if message.topic != POOLED:
            continue
        row = np.frombuffer(message.payload, run.dtypes[POOLED])[0]
        tokens = row["tokens"].reshape(160, WIDTH)[: row["count"]]
        assert np.abs(tokens.mean(axis=0) - row["pooled"]).max() <= 1e-5
        assert 64 < row["count"] < 160
        seen += 1
    assert seen > 3
    report = replay(file)
    assert (report.differing, report.first, report.features) == (0, None, seen)


def test_tokens_of_another_width_are_refused_before_a_backbones_minutes(tmp_path: Path) -> None:
    checkpoint_in(tmp_path / "checkpoint", flow_cross_attention_dim=96)
    checkpoint = load_checkpoint(tmp_path / "checkpoint")
    with pytest.raises(ConfigWrong, match="another width") as refused:
        check_match(load_recipe(recipe_in(tmp_path / "recipe")), checkpoint)
    assert refused.value.facts == "flow_cross_attention_dim 96, recipe 128"
    check_match(load_recipe(ROOT / "engines" / "qwen_vl_tiny"), checkpoint)
