"""From a recording to judged, quantised plans, by the commands that a person gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from neon_edge.checkpoint.joints import MODES
from neon_edge.engine.manifest import read_manifest
from tests.build.calibrate.lerobot_sets import CAMERAS, write
from tests.conftest import neon_edge

LOOSE = """
[quantise]
samples = 4
set_aside = 8
cosine = 0.9
joint_p99_rad = 0.5
joint_max_rad = 1.0
joint_rad_s = 100.0
base_m_s = 1.0
base_rad_s = 1.0
"""


@pytest.fixture(scope="module")
def checkpoint(built: Path) -> str:
    return read_manifest(built / "bundle").heads.checkpoint


def recipe(directory: Path, settings: str) -> str:
    directory.mkdir()
    text = Path("engines/qwen_omni_tiny/recipe.toml").read_text()
    (directory / "recipe.toml").write_text(text + settings)
    return str(directory)


@pytest.mark.slow
def test_auto_on_a_robots_own_recording(tmp_path: Path, checkpoint: str) -> None:
    names = [joint.name for joint in MODES["whole_body"]][::-1]
    theirs = [f"{names[0]}.pos", *names[1:]]
    write(tmp_path / "set", "v3.0", 4, theirs, speed=0.002)
    tiny, out = recipe(tmp_path / "tiny", LOOSE), tmp_path / "built"
    given = ["--lerobot", str(tmp_path / "set"), "--camera", CAMERAS[0]]
    moments = ["--out", str(tmp_path / "moments")]
    joint = ["--joint", f"{theirs[0]}={names[0]}"]
    calibrated = neon_edge("calibrate", tiny, *given, *moments, *joint)
    assert calibrated.returncode == 0, calibrated.stderr
    given = ["--checkpoint", checkpoint, "--calibration", str(tmp_path / "moments")]
    given += ["--out", str(out), "--threads", "1", "--precision", "auto"]
    made = neon_edge("build", tiny, *given, timeout=900)
    assert made.returncode == 0, made.stderr
    manifest = read_manifest(out / "current")
    assert [row.name for row in manifest.candidates] == ["float", "int8", "int4"]
    judged = manifest.verification.judged
    assert judged is not None and judged.joints == "recorded" and judged.source.startswith("set ")
    assert (judged.moments, judged.tuning) == (8, 4) and len(judged.episodes) == 2
    for name in ("int8", "int4"):
        if next(row.passed for row in manifest.candidates if row.name == name):
            text = next((out / "tried").glob(f"*/{name}/verify.html")).read_text()
            assert "joint states as recorded" in text and "judged on 4 moments" in text
    assert "verify.html; worst: episode" in made.stderr


@pytest.mark.slow
def test_a_build_that_misses_says_so_in_a_page(tmp_path: Path, checkpoint: str) -> None:
    strict = LOOSE.replace("joint_max_rad = 1.0", "joint_max_rad = 1e-9\nskip_share = 0.0")
    tiny, out = recipe(tmp_path / "tiny", strict), tmp_path / "built"
    given = ["--checkpoint", checkpoint, "--out", str(out), "--threads", "1"]
    made = neon_edge("build", tiny, *given, "--precision", "int8", timeout=900)
    assert made.returncode == 1 and "int8 misses its gate" in made.stderr, made.stderr
    page = out / "bundle-int8-missed.html"
    assert str(page) in made.stderr and '<b class="bad">missed</b>' in page.read_text()
    assert (out / "bundle-int8-missed.worst.png").read_bytes().startswith(b"\x89PNG")
    assert not (out / "current").exists()
