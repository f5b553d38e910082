"""Whole builds that are killed, starved of disk, or done in two places."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neon_edge.engine.files import sha256_file
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

# Stands in for a machine without them: a build that needs one dies of it.
BLOCKER = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "onnxscript", "safetensors", "MORE"):
            raise ImportError(f"{name} is not installed on this machine")
sys.meta_path.insert(0, Absent())
from neon_edge.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def command(checkpoint: Path, out: Path, *more: str) -> list[str]:
    recipe = "engines/qwen_omni_tiny"
    given = ["build", recipe, "--checkpoint", str(checkpoint), "--out", str(out)]
    return [sys.executable, "-m", "neon_edge", *given, *more]


def run(arguments: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600, **more
    )


def kill_at(arguments: list[str], line: str) -> None:
    """Kill -9 as soon as the build says `line`."""
    with subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for said in running.stderr:
            if line in said:
                os.kill(running.pid, signal.SIGKILL)
                return
    raise AssertionError(f"the build never said {line!r}")


def facts(directory: Path) -> dict[str, Any]:
    """A manifest without when it was made, and without timings."""
    manifest: dict[str, Any] = json.loads((directory / "manifest.json").read_bytes())
    del manifest["created"]
    return manifest


def test_killed_twice_and_finished_equals_one_run(
    demo_checkpoint: Path, built: Path, tmp_path: Path
) -> None:
    arguments = command(demo_checkpoint, tmp_path / "cut", "--bundle-only")
    bundle = tmp_path / "cut" / "bundle"
    for line in ("export decoder", "export heads"):
        kill_at(arguments, line)
        assert not bundle.exists()
        assert not (bundle.with_name("bundle.part") / "manifest.json").exists()
    last = run(arguments)
    assert last.returncode == 0, last.stderr
    assert "export vision: done before" in last.stderr
    assert "export decoder: done before" in last.stderr
    assert facts(bundle) == facts(built / "bundle")
    for name in ("tokenizer.json", "embeddings.npy"):
        assert sha256_file(bundle / name) == sha256_file(built / "bundle" / name)
    assert not (bundle / "steps.json").exists()
    compiled = [sys.executable, "-m", "neon_edge", "build", str(bundle), "--out"]
    compiled.append(str(tmp_path / "p"))
    kill_at(compiled, "compile decoder")
    assert not list((tmp_path / "p").glob("*/manifest.json"))
    assert not (tmp_path / "p" / "current").exists()
    done = run(compiled)
    assert done.returncode == 0, done.stderr
    assert "compile vision: done before" in done.stderr


def test_a_full_disk_is_an_error_and_leaves_no_bundle(
    demo_checkpoint: Path, tmp_path: Path
) -> None:
    """No file may grow beyond what the vision graph needs: the decoder's write fails midway."""

    def starve() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))

    result = run(command(demo_checkpoint, tmp_path, "--bundle-only"), preexec_fn=starve)
    assert result.returncode == 78, result.stderr
    assert "the build cannot write its files" in result.stderr
    assert not (tmp_path / "bundle").exists()
    assert run(command(demo_checkpoint, tmp_path, "--bundle-only")).returncode == 0


@pytest.mark.parametrize("more", ["nothing", "onnx"])
def test_a_machine_without_torch_compiles_what_answers_the_same(
    more: str, demo_checkpoint: Path, built: Path, tmp_path: Path
) -> None:
    """Without `onnx` too, graphs of the backbone are compiled as they are; heads always are."""
    blocked = [sys.executable, "-c", BLOCKER.replace("MORE", more)]
    there = run([*blocked, "build", str(built / "bundle"), "--out", str(tmp_path)])
    assert there.returncode == 0, there.stderr
    ours, theirs = facts(built / "current"), facts(tmp_path / "current")
    plain = [[part.pop("plan_sha256") for part in f["backbone"]["parts"]] for f in (ours, theirs)]
    assert (plain[0] == plain[1]) == (more == "nothing")
    # Inputs: graphs, tokenizer, embedding table, verification samples; and what came of them.
    for name in ("backbone", "heads", "verification", "machine"):
        assert ours[name] == theirs[name], name
    assert theirs["gates"] and all(gate["passed"] for gate in theirs["gates"])
    whole = run([*blocked, *command(demo_checkpoint, tmp_path / "no")[3:]])
    assert whole.returncode != 0, "the blocker blocks"
