"""A build that is cut off anywhere leaves what was there or what is new, and never two at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from neon_edge.build.placed import alone, keep_only, next_of, put, restore, scratch, writing_in
from neon_edge.engine.held import is_held
from neon_edge.errors import ConfigWrong
from tests.conftest import ROOT

HOLDER = """
import sys
from pathlib import Path
from neon_edge.build.placed import alone
from neon_edge.engine.held import hold
def held(path):
    hold(path)
    return open("/dev/null")
with (alone if sys.argv[1] == "alone" else held)(Path(sys.argv[2])):
    print("holding", flush=True)
    sys.stdin.read()
"""


def holder(what: str, directory: Path) -> subprocess.Popen[str]:
    """A process that has `directory` until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, what, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    return process


def made(directory: Path, content: str) -> Path:
    directory.mkdir()
    (directory / "content").write_text(content)
    return directory


def content(directory: Path) -> str:
    return (directory / "content").read_text()


@pytest.mark.parametrize("renames", [0, 1])
def test_a_replacement_that_is_cut_off_loses_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    old, new = made(tmp_path / "d", "old"), made(tmp_path / "d.part", "new")
    plain, count = Path.rename, 0

    def cut_off(path: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count > renames:
            raise KeyboardInterrupt
        return plain(path, target)

    monkeypatch.setattr(Path, "rename", cut_off)
    with pytest.raises(KeyboardInterrupt):
        put(new, old)
    monkeypatch.undo()
    assert content(new) == "new"
    restore(old)
    assert content(old) == "old"
    put(new, old)
    assert content(old) == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_link_is_replaced_and_what_it_means_stays(tmp_path: Path) -> None:
    meant = made(tmp_path / "elsewhere", "meant")
    link = tmp_path / "d"
    link.symlink_to(meant)
    put(made(tmp_path / "d.part", "new"), link)
    assert (content(link), content(meant)) == ("new", "meant")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "elsewhere"]


def test_two_builds_in_one_place_are_told_of_each_other(tmp_path: Path) -> None:
    other = holder("alone", tmp_path / "out")
    refused = pytest.raises(ConfigWrong, match="another build is writing here")
    with refused as caught, alone(tmp_path / "out"):
        raise AssertionError("both are in")
    assert f"process {other.pid} " in caught.value.facts
    other.kill()
    other.wait()
    refused = pytest.raises(ConfigWrong, match="another")
    with alone(tmp_path / "out"), refused, alone(tmp_path / "out"):
        raise AssertionError("one place, twice")
    with alone(tmp_path / "out"):
        pass


def test_plans_go_when_nobody_runs_from_them(tmp_path: Path) -> None:
    assert next_of(tmp_path, "ort-1.2-x86").name == "ort-1.2-x86.1"
    for number in (1, 2, 9):
        made(tmp_path / f"ort-1.2-x86.{number}", str(number))
    for bystander in ("ort-1.2-x86.missed", "ort-1.2-x86.part", "trt-1.2-x86.1"):
        made(tmp_path / bystander, "")
    robot = holder("held", tmp_path / "ort-1.2-x86.2")
    new = next_of(tmp_path, "ort-1.2-x86")
    assert new.name == "ort-1.2-x86.10"
    made(new, "new")
    keep_only(new)
    numbered = {path.name for path in tmp_path.glob("ort-1.2-x86.[0-9]*")}
    assert numbered == {"ort-1.2-x86.2", "ort-1.2-x86.10"}
    assert is_held(tmp_path / "ort-1.2-x86.2")
    assert len(list(tmp_path.iterdir())) == 5
    robot.kill()
    robot.wait()
    keep_only(new)
    assert not (tmp_path / "ort-1.2-x86.2").exists()


def test_a_scratch_folder_is_empty_and_goes(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "of a build that was killed").touch()
    with pytest.raises(KeyboardInterrupt), scratch(tmp_path) as place:
        assert not list(place.iterdir())
        (place / "file").touch()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_only_a_disk_that_takes_no_more_is_called_one(tmp_path: Path) -> None:
    for failure in (OSError(28, "No space left on device"), OSError("9 requested and 4 written")):
        refused = pytest.raises(ConfigWrong, match="cannot write its files")
        with refused as caught, writing_in(tmp_path):
            raise failure
        assert "GiB free" in caught.value.facts
    with pytest.raises(FileNotFoundError), writing_in(tmp_path):
        (tmp_path / "absent").read_text()
