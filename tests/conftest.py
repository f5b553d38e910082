"""The command line, and the tiny recipe's plans built once for every test that needs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def neon_edge(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """`neon-edge ARGUMENTS` in the repository, its output captured."""
    return subprocess.run(
        [sys.executable, "-m", "neon_edge", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="session")
def demo_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `scripts/make_checkpoint.py` writes where nothing else is asked."""
    checkpoint = tmp_path_factory.mktemp("checkpoint")
    script = ROOT / "scripts" / "make_checkpoint.py"
    subprocess.run([sys.executable, str(script), str(checkpoint)], check=True, cwd=ROOT)
    return checkpoint


@pytest.fixture(scope="session")
def built(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `neon-edge build` leaves: plans, and the bundle they came from under bundle/."""
    out = tmp_path_factory.mktemp("built")
    recipe = "engines/qwen_omni_tiny"
    result = neon_edge("build", recipe, "--checkpoint", str(demo_checkpoint), "--out", str(out))
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope="session")
def plans(built: Path) -> Path:
    """The directory that `--engines` takes."""
    return built / "current"
