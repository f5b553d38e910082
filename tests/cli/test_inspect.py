"""What `neon-edge inspect` says of a build that has not finished."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from neon_edge.build.ledger import Ledger
from neon_edge.cli.main import main
from neon_edge.engine.described import describe
from neon_edge.engine.manifest import write_manifest
from tests.conftest import ROOT
from tests.engine.machines import manifest_of


def test_an_unfinished_build_is_told_in_three_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(tmp_path / "bundle.part", "k", 1, lambda _: None)
    ledger.step("export vision", str, lambda: "", lambda _: [])
    assert main(["inspect", str(tmp_path)]) == 78
    said = capsys.readouterr().err
    assert "bundle.part is a build that has not finished" in said
    assert "done: export vision; nobody is at it" in said
    assert said.count("\n") == 3
    assert main(["inspect", str(tmp_path / "absent")]) == 78
    assert "no plans called" in capsys.readouterr().err


def test_a_bundle_says_its_precision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(tmp_path, manifest_of(machine=None))
    assert main(["inspect", str(tmp_path)]) == 0
    assert "precision  fp32, Linears the same" in capsys.readouterr().out
    assert any(
        line.endswith("any machine (a bundle)") for line in describe(manifest_of(machine=None))
    )


def test_a_reader_that_has_seen_enough_is_no_bug_of_ours(plans: Path) -> None:
    asked = [sys.executable, "-m", "neon_edge", "inspect", str(plans)]
    told = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert told.stdout is not None and told.stderr is not None
    told.stdout.close()
    said = told.stderr.read()
    assert told.wait(60) == 141
    assert said == b""
