"""Steps that are done stay done, and nothing else is taken for done."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from msgspec import Struct

from neon_edge.build import ledger as ledger_module
from neon_edge.build.ledger import FILE_NAME, Ledger, Step, key_of, sources_key, unfinished
from neon_edge.build.placed import alone
from neon_edge.engine.files import weights_of
from neon_edge.errors import ConfigWrong


class Made(Struct):
    file: str
    size: int


class Workshop:
    """Two steps that write a file each, and count how often they run."""

    def __init__(self, directory: Path, key: str = "k") -> None:
        self.ran: list[str] = []
        self.told: list[str] = []
        self.ledger = Ledger(directory, key, 2, self.told.append)

    def run(self) -> list[Made]:
        return [
            self.ledger.step(
                name, Made, lambda name=name: self.make(name), lambda made: [made.file]
            )
            for name in ("one", "two")
        ]

    def make(self, name: str) -> Made:
        self.ran.append(name)
        file = self.ledger.directory / f"{name}.onnx"
        file.write_bytes(name.encode() * 100)
        weights_of(file).write_bytes(b"w" * 1000)
        return Made(file.name, file.stat().st_size)


def test_a_second_run_does_nothing_and_says_the_same(tmp_path: Path) -> None:
    first = Workshop(tmp_path / "b.part")
    made = first.run()
    again = Workshop(tmp_path / "b.part")
    assert again.run() == made == [Made("one.onnx", 300), Made("two.onnx", 300)]
    assert (first.ran, again.ran) == (["one", "two"], [])
    assert [isinstance(line, Step) for line in again.told] == [True, True]
    assert again.told == ["one: done before", "two: done before"]
    step = first.told[1]
    assert isinstance(step, Step)
    assert (step.number, step.total, step) == (2, 2, "two")


@pytest.mark.parametrize("spoil", ["cut", "change", "lose", "cut weights"])
def test_a_file_that_is_not_whole_is_made_again(tmp_path: Path, spoil: str) -> None:
    Workshop(tmp_path).run()
    file = tmp_path / "one.onnx"
    if spoil == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif spoil == "change":
        file.write_bytes(b"x" * 300)
    elif spoil == "lose":
        file.unlink()
    else:
        weights_of(file).write_bytes(b"w" * 999)
    again = Workshop(tmp_path)
    again.run()
    assert again.ran == ["one"]


def test_a_hash_that_a_step_gives_is_not_computed_again_and_holds(tmp_path: Path) -> None:
    def make() -> str:
        (tmp_path / "f").write_text("whole")
        return hashlib.sha256(b"whole").hexdigest()

    def run() -> tuple[list[str], str]:
        told: list[str] = []
        ledger = Ledger(tmp_path, "k", 1, told.append)
        return told, ledger.step("one", str, make, lambda digest: {"f": digest})

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ledger_module, "sha256_file", None)
        run()
    assert run()[0] == ["one: done before"]
    (tmp_path / "f").write_text("cut")
    assert run()[0] == ["one"]
    assert run()[0] == ["one: done before"]


def test_another_build_starts_from_nothing(tmp_path: Path) -> None:
    Workshop(tmp_path).run()
    (tmp_path / "leftover").touch()
    other = Workshop(tmp_path, "another")
    assert not (tmp_path / "leftover").exists()
    other.run()
    assert other.ran == ["one", "two"]
    (tmp_path / FILE_NAME).write_text("{not json")
    broken = Workshop(tmp_path, "another")
    broken.run()
    assert broken.ran == ["one", "two"]


def test_a_step_that_was_interrupted_is_not_done(tmp_path: Path) -> None:
    first = Workshop(tmp_path)

    def interrupted() -> Made:
        (tmp_path / "one.onnx").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.ledger.step("one", Made, interrupted, lambda made: [made.file])
    again = Workshop(tmp_path)
    again.run()
    assert again.ran == ["one", "two"]


def test_a_full_disk_is_said_and_what_was_done_stays(tmp_path: Path) -> None:
    """The limit on file sizes makes a real write fail in the middle, as a full disk does."""
    program = """
        import resource, sys
        from pathlib import Path
        from tests.build.test_ledger import Made, Workshop
        shop = Workshop(Path(sys.argv[1]))
        plain = shop.make
        def make(name):
            if name == "two":
                resource.setrlimit(resource.RLIMIT_FSIZE, (150, resource.RLIM_INFINITY))
            return plain(name)
        shop.make = make
        shop.run()
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "the build cannot write its files" in ran.stderr
    assert "make room" in ran.stderr
    assert (tmp_path / "two.onnx").stat().st_size <= 150
    again = Workshop(tmp_path)
    again.run()
    assert again.ran == ["two"]


def test_a_killed_build_goes_on_behind_its_last_step(tmp_path: Path) -> None:
    program = """
        import os, signal, sys
        from pathlib import Path
        from tests.build.test_ledger import Workshop
        shop = Workshop(Path(sys.argv[1]))
        plain = shop.make
        def make(name):
            made = plain(name)
            if name == "two":
                os.kill(os.getpid(), signal.SIGKILL)
            return made
        shop.make = make
        shop.run()
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], check=False
    )
    assert ran.returncode == -signal.SIGKILL
    again = Workshop(tmp_path)
    again.run()
    assert again.ran == ["two"]


@pytest.mark.parametrize("renames", [0, 1])
def test_an_interrupt_while_it_is_put_in_place_costs_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    target = tmp_path / "b"
    target.mkdir()
    (target / "one.onnx").write_text("the old one")
    first = Workshop(tmp_path / "b.part")
    first.run()
    plain, count = Path.rename, 0

    def cut_off(path: Path, to: Path) -> Path:
        nonlocal count
        count += 1
        if count > renames:
            raise KeyboardInterrupt
        return plain(path, to)

    monkeypatch.setattr(Path, "rename", cut_off)
    with pytest.raises(KeyboardInterrupt):
        first.ledger.close(target)
    monkeypatch.undo()
    again = Workshop(tmp_path / "b.part")
    again.run()
    assert again.ran == []
    again.ledger.close(target)
    assert (target / "one.onnx").read_bytes() == b"one" * 100
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert not (target / FILE_NAME).exists()


def test_an_error_of_ours_passes_as_it_is(tmp_path: Path) -> None:
    def refuse() -> Made:
        raise ConfigWrong("no")

    with pytest.raises(ConfigWrong, match=r"^no$"):
        Workshop(tmp_path).ledger.step("one", Made, refuse, lambda made: [made.file])


def test_a_build_that_was_begun_is_told_from_one_that_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "recipe"
    shop = Workshop(place / "bundle.part")
    assert unfinished("recipe", [tmp_path]) is None, "nothing is done yet"
    shop.run()
    for engines in ("recipe", str(place), str(place / "bundle.part")):
        begun = unfinished(engines, [tmp_path / "elsewhere", tmp_path])
        assert begun is not None
        assert begun.wrong.endswith("bundle.part is a build that has not finished")
        assert begun.facts == "done: one, two; nobody is at it"
        assert "goes on" in begun.fix
    with alone(place):
        begun = unfinished("recipe", [tmp_path])
        assert begun is not None
        assert f"process {os.getpid()} is at it" in begun.facts
        assert begun.fix == "wait for it"
    shop.ledger.close(place / "bundle")
    assert unfinished("recipe", [tmp_path]) is None
    assert unfinished("nothing", [tmp_path]) is None


def test_keys_follow_everything_they_are_made_of(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a = 1")
    before = sources_key(tmp_path)
    assert before == sources_key(tmp_path)
    (tmp_path / "a.py").write_text("a = 2")
    assert before != sources_key(tmp_path)
    assert key_of("a", 1) == key_of("a", 1)
    assert len({key_of("a", 1), key_of("a", 2), key_of("b", 1), key_of("a")}) == 4
