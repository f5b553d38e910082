"""A compiler in a process of its own: same plan, same errors, and its death is only its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from neon_edge.build import apart
from neon_edge.clock import MonotonicClock
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import Part, TensorSpec
from neon_edge.engine.plan import compile_part
from neon_edge.engine.started import HUGE_PAGES
from neon_edge.errors import ConfigWrong, PlanUnfit
from tests.conftest import ROOT


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Part]:
    monkeypatch.setattr(apart, "_SMALL_BYTES", 0)
    weight = numpy_helper.from_array(np.eye(8, dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "p.onnx")
    specs = [TensorSpec("x", [1, 8])], [TensorSpec("y", [1, 8])]
    return tmp_path, Part("p", "p.onnx", sha256_file(tmp_path / "p.onnx"), *specs)


def test_the_plan_is_the_one_made_here(bundle: tuple[Path, Part], tmp_path: Path) -> None:
    directory, part = bundle
    for name in ("here", "apart"):
        (tmp_path / name).mkdir()
    here = compile_part(directory, part, tmp_path / "here", "onnxruntime")
    assert apart.compile_apart(directory, part, tmp_path / "apart", "onnxruntime") == here


def test_a_refusal_comes_back_whole(bundle: tuple[Path, Part], tmp_path: Path) -> None:
    directory, part = bundle
    (directory / "p.onnx").write_bytes(b"no graph")
    with pytest.raises(ConfigWrong, match=r"cannot compile p\.onnx") as caught:
        apart.compile_apart(directory, part, tmp_path, "onnxruntime")
    assert caught.value.facts


def _dies(*_: object) -> None:
    os.kill(os.getpid(), 9)


def test_a_compiler_that_is_killed_is_named(
    bundle: tuple[Path, Part], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, part = bundle
    monkeypatch.setattr(apart, "compile_part", _dies)
    with pytest.raises(PlanUnfit, match="the compiler of part 'p' died") as caught:
        apart.compile_apart(directory, part, tmp_path, "onnxruntime")
    assert "-9" in caught.value.facts
    assert "memory" in caught.value.facts


def _errs(*_: object) -> None:
    raise RuntimeError("a bug of ours")


def test_a_compiler_that_errs_is_not_said_to_lack_memory(
    bundle: tuple[Path, Part],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    directory, part = bundle
    monkeypatch.setattr(apart, "compile_part", _errs)
    with pytest.raises(PlanUnfit, match="the compiler of part 'p' died") as caught:
        apart.compile_apart(directory, part, tmp_path, "onnxruntime")
    assert "memory" not in str(caught.value)
    assert "a bug of ours" in capfd.readouterr().err


def _its_tunables() -> str:
    return os.environ.get("GLIBC_TUNABLES", "none")


def test_it_is_started_as_a_robots_processes_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    assert apart.apart(_its_tunables, lambda code: PlanUnfit("died", str(code))) == HUGE_PAGES
    assert _its_tunables() == "none", "ours is as it was"


def _says_its_id(bundle: Path, *_: object) -> None:
    (bundle / "pid").write_text(str(os.getpid()))
    while True:
        signal.pause()


ABANDONED = """
import sys
from pathlib import Path
from neon_edge.build import apart
from neon_edge.clock import MonotonicClock
from tests.build import test_apart
apart._SMALL_BYTES = 0
apart.compile_part = test_apart._says_its_id
place = Path(sys.argv[1])
apart.compile_apart(place, test_apart.Part("p", "p.onnx", "", [], []), place, "onnxruntime")
"""


def test_a_compiler_ends_with_a_build_that_is_killed(bundle: tuple[Path, Part]) -> None:
    directory, _ = bundle
    told = directory / "pid"
    build = subprocess.Popen([sys.executable, "-c", ABANDONED, str(directory)], cwd=ROOT)
    pid = int(waited_for(lambda: told.exists() and told.read_text()))
    # A Ctrl-C reaches both; the build decides what becomes of the compiler.
    os.kill(pid, signal.SIGINT)
    os.kill(pid, 0)
    build.kill()
    build.wait()
    waited_for(lambda: not Path(f"/proc/{pid}").exists() or "Z" in state(pid))


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def waited_for(what: Callable[[], Any]) -> Any:
    clock = MonotonicClock()
    until_ns = clock.now_ns() + 60 * 10**9
    while not (found := what()):
        assert clock.now_ns() < until_ns
        clock.sleep_until_ns(clock.now_ns() + 20_000_000)
    return found
