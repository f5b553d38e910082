"""The manifest says everything it was given, and nothing half-written is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from neon_edge.engine.manifest import FILE_NAME, Gate, read_manifest, write_manifest
from neon_edge.errors import ConfigWrong
from tests.engine.machines import manifest_of


def test_what_is_written_is_read(tmp_path: Path) -> None:
    gate = Gate("joint error", 1e-5, 1e-3, "rad", True, "left_elbow")
    manifest = manifest_of(gates=[gate])
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_directory_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigWrong, match="no plans in"):
        read_manifest(tmp_path)


def test_a_truncated_one_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest_of())
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ConfigWrong, match="not a manifest"):
        read_manifest(tmp_path)


def test_an_unknown_key_is_refused_by_name(tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest_of())
    path = tmp_path / FILE_NAME
    path.write_text(path.read_text().replace('"made_on"', '"maid_on"'))
    with pytest.raises(ConfigWrong) as refused:
        read_manifest(tmp_path)
    assert "maid_on" in refused.value.facts
