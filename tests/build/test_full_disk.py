"""A disk that is full at any byte of a build: three lines, no plans, and the same command goes on.

Real small disks, mounted where that is allowed; a limit on the size of files everywhere.
"""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from neon_edge.build import apart
from neon_edge.build.compile import CURRENT
from neon_edge.build.pipeline import BuildRequest, build
from neon_edge.engine.files import sha256_file, weights_of
from neon_edge.engine.manifest import Manifest, read_manifest, write_manifest
from neon_edge.engine.onnxruntime import compile_onnxruntime
from neon_edge.errors import ConfigWrong
from tests.build.test_compile import Verdict, bundle, quiet, verdict
from tests.engine.graphs import affine

__all__ = ["bundle", "verdict"]

PAGE = 4096


@contextmanager
def disk(place: Path, pages: int) -> Iterator[None]:
    """A disk of so many pages at `place`; skips where none may be mounted."""
    place.mkdir(exist_ok=True)
    size = f"size={pages * PAGE}"
    command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no disk may be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def enlarge(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process or of its children may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def weigh(bundle: Path) -> Manifest:
    """The same bundle with 24 kB a graph, and a table of 40 kB."""
    affine(bundle, width=2000)
    manifest = read_manifest(bundle)
    digest = sha256_file(bundle / "affine.onnx")
    for part in (*manifest.backbone.parts, *manifest.heads.parts):
        assert part.onnx_sha256 != digest
    np.save(bundle / "table.npy", np.zeros(10_000, np.float32))
    write_manifest(bundle, manifest)
    return manifest


def test_a_disk_that_is_full_at_any_page(bundle: Path, tmp_path: Path, verdict: Verdict) -> None:
    weigh(bundle)
    out = tmp_path / "small"
    said: set[str] = set()
    for pages in range(1, 60):
        with disk(out, pages):
            request = BuildRequest(str(bundle), out=out)
            try:
                whole = build(request, quiet)
            except ConfigWrong as failure:
                assert failure.wrong == "the build cannot write its files", pages
                said.add(failure.facts.partition(":")[0])
                assert not (out / CURRENT).exists()
                finished = [path.parent for path in out.glob("*/manifest.json")]
                assert [path for path in finished if path.suffix != ".part"] == []
                enlarge(out)
                whole = build(request, quiet)
                check_plans(whole)
            else:
                check_plans(whole)
                break
    else:
        raise AssertionError("never enough")
    assert pages > 25
    assert len(said) > 2, said


def check_plans(plans: Path) -> None:
    manifest = read_manifest(plans)
    for part in (*manifest.backbone.parts, *manifest.heads.parts):
        assert sha256_file(plans / part.plan) == part.plan_sha256
    assert np.load(plans / "table.npy").shape == (10_000,)


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("limit", [0, 100, 20_000])
def test_onnx_runtimes_own_words_for_it_are_known(tmp_path: Path, inline: bool, limit: int) -> None:
    graph, _ = affine(tmp_path, width=2000)
    plan = tmp_path / "p.ort.onnx"
    with files_up_to(limit), pytest.raises(OSError, match="could not write p"):
        compile_onnxruntime(graph, plan, 1, inline_limit_bytes=(1 << 30) * inline)
    assert not plan.exists()
    assert not weights_of(plan).exists()


def test_a_compiler_in_a_process_of_its_own_says_it_too(
    bundle: Path, tmp_path: Path, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    weigh(bundle)
    monkeypatch.setattr(apart, "_SMALL_BYTES", 0)
    request = BuildRequest(str(bundle), out=tmp_path / "out")
    with files_up_to(20_000), pytest.raises(ConfigWrong, match="cannot write its files") as caught:
        build(request, quiet)
    assert "GiB free" in caught.value.facts
    assert "make room" in caught.value.fix
    check_plans(build(request, quiet))
