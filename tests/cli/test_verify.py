"""`neon-edge verify`: a page and a picture, figures for machines, and 1 where a gate is missed."""

from __future__ import annotations

import io
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from neon_edge.build.verify_page import png
from neon_edge.cli.main import main
from neon_edge.engine.manifest import read_manifest, write_manifest


def copied(built: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Plans that a test may change, and the bundle they came from."""
    plans = tmp_path / "plans"
    shutil.copytree(built / "current", plans)
    return plans, built / "bundle"


@pytest.mark.slow
def test_a_page_and_the_worst_moment_are_written(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plans, bundle = copied(built, tmp_path)
    page = tmp_path / "read_me.html"
    given = [str(plans), "--bundle", str(bundle), "--page", str(page), "--threads", "1"]
    assert main(["verify", *given, "--json"]) == 0
    told = capsys.readouterr()
    gates, errors = json.loads(told.out)
    manifest = read_manifest(plans)
    assert [gate["name"] for gate in gates] == [gate.name for gate in manifest.gates]
    assert errors[-1]["mean"] is not None and "bikes.mp4 frame" in told.err
    text = page.read_text()
    HTMLParser().feed(text)
    assert '<b class="good">passed</b>' in text and "judged on 8 moments set aside" in text
    worst = np.asarray(Image.open(tmp_path / "read_me.worst.png"))
    assert worst.shape == (272, 640, 3) and worst.std() > 10


@pytest.mark.slow
def test_a_missed_gate_ends_with_1_and_is_in_manifest_and_page(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plans, bundle = copied(built, tmp_path)
    manifest = read_manifest(plans)
    strict = msgspec.structs.replace(manifest.verification, joint_rad=1e-12)
    write_manifest(plans, msgspec.structs.replace(manifest, verification=strict))
    assert main(["verify", str(plans), "--bundle", str(bundle), "--threads", "1"]) == 1
    assert "MISSED  backbone and heads" in capsys.readouterr().err
    assert '<b class="bad">missed</b>' in (plans / "verify.html").read_text()
    assert not all(gate.passed for gate in read_manifest(plans).gates)
    # Without --bundle it is looked for beside the plans, and there is none.
    assert main(["verify", str(plans)]) == 78


def test_a_png_of_ours_is_read_by_others() -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(png(image)))) == image).all()
