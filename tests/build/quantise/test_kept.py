"""Layers that are done: whole on the disk, or made again; never those of other code."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from neon_edge.build.importers import QuantisedLinear
from neon_edge.build.quantise import kept as module
from neon_edge.build.quantise.kept import Kept, key_of

LAYER = QuantisedLinear(8, np.ones((64, 32), np.int8), np.ones((1, 32), np.float32))


def test_a_file_that_was_cut_short_is_no_layer_wherever_the_cut_is(tmp_path: Path) -> None:
    kept = Kept(tmp_path, "key")
    kept.save("q", LAYER, {"error": 0.5})
    path = tmp_path / "key" / "q.npz"
    whole = path.read_bytes()
    overwritten = whole.replace(bytes([1]) * 64, bytes([2]) * 64, 1)
    for broken in (*(whole[:size] for size in range(0, len(whole), 97)), overwritten):
        path.write_bytes(broken)
        assert kept.load("q") is None
    path.write_bytes(whole)
    loaded = kept.load("q")
    assert loaded is not None and loaded[1] == {"error": 0.5}


def test_a_layer_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    rename = Path.replace

    def synced(file: int) -> None:
        steps.append(("to the disk", Path(f"/proc/self/fd/{file}").readlink().name))

    def named(path: Path, target: Path) -> Path:
        steps.append(("named", path.name))
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", named)
    Kept(tmp_path, "key").save("q", LAYER, {})
    assert steps == [("to the disk", "q.npz.part"), ("named", "q.npz.part")]


def test_other_code_takes_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [{"x": np.ones((2, 3), np.float32)}]
    code = tmp_path / "gptq.py"
    code.write_text("damping = 0.01")
    monkeypatch.setattr(module, "_CODE", (tmp_path,))
    first = key_of("graph", samples, "int4")
    assert key_of("graph", samples, "int4") == first
    code.write_text("damping = 0.1")
    assert key_of("graph", samples, "int4") != first


def test_the_code_that_counts_is_all_that_shapes_a_layer() -> None:
    names = {path.name for folder in module._CODE for path in folder.glob("*.py")}
    assert {"gptq.py", "awq.py", "smooth.py", "round.py", "walk.py", "linear.py"} <= names
