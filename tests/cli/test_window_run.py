"""One camera seen through a window of pictures, or as a video: built, gated, and driven."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from neon_edge.engine.manifest import read_manifest
from tests.conftest import ROOT, neon_edge

pytestmark = pytest.mark.slow
CUT = """window = 4
window_hz = 10.0
vision_apart = true
fold_prefix = true
"""


@pytest.mark.parametrize(("kind", "steps"), [("", 4), ("video = true\n", 2)])
def test_a_window_from_recipe_to_robot(kind: str, steps: int, tmp_path: Path) -> None:
    text = (ROOT / "engines" / "qwen_omni_tiny" / "recipe.toml").read_text()
    recipe = tmp_path / "qwen_omni_window"
    recipe.mkdir()
    named = text.replace('name = "qwen_omni_tiny"', 'name = "qwen_omni_window"')
    (recipe / "recipe.toml").write_text(
        named.replace("pictures = 1\n", "pictures = 1\n" + CUT + kind)
    )
    script, checkpoint = ROOT / "scripts" / "make_checkpoint.py", tmp_path / "checkpoint"
    subprocess.run([sys.executable, str(script), str(checkpoint)], check=True, cwd=ROOT)
    out = tmp_path / "built"
    made = neon_edge("build", str(recipe), "--checkpoint", str(checkpoint), "--out", str(out))
    assert made.returncode == 0, made.stderr
    backbone = read_manifest(out / "current").backbone
    assert (backbone.image.count, backbone.image.window, backbone.cameras) == (4, 4, 1)
    assert backbone.image.steps == steps
    ran = neon_edge("run", "--robot", "sim", "--engines", str(out / "current"),
                    "--seconds", "5", "--json")  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert report["features_hz"] > 0, report
