"""Which steps of a build are done, so that one that was interrupted goes on where it stood.

    DIR.part/steps.json    key of the whole build, and per step: its result, its files' hashes

A step counts when its files are on the disk and the ledger says so, in that order; a file that was
cut short, changed or lost makes its step run again. Another key starts from nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct, field

from neon_edge.build.placed import put, writer_of, writing_in
from neon_edge.engine.files import sha256_file, weights_of
from neon_edge.engine.manifest import FILE_NAME as MANIFEST
from neon_edge.errors import ConfigWrong

FILE_NAME = "steps.json"

Result = TypeVar("Result")
Files = Sequence[str] | Mapping[str, str]
"""Names in the directory; with their `sha256_file` where `make` has just hashed them."""
Tell = Callable[[str], None]


class Step(str):
    """What a build does now, as text, and how far it is."""

    number: int
    total: int

    def __new__(cls, text: str, number: int, total: int) -> Step:
        """`number` counts from 1 to `total`."""
        step = super().__new__(cls, text)
        step.number, step.total = number, total
        return step


class Steps(Protocol):
    """Who runs the steps of a build, and may know that one need not run."""

    def expect(self, more: int) -> None:
        """So many steps more than were known of."""

    def step(
        self,
        name: str,
        kind: type[Result],
        make: Callable[[], Result],
        files: Callable[[Result], Files],
    ) -> Result:
        """What `make` makes, which is of `kind` and wrote `files`."""


class AtOnce:
    """`Steps` that remembers nothing and says nothing."""

    def expect(self, more: int) -> None:
        """Nothing is counted."""

    def step(
        self,
        name: str,
        kind: type[Result],
        make: Callable[[], Result],
        files: Callable[[Result], Files],
    ) -> Result:
        """Run it."""
        return make()


class _Done(Struct, frozen=True, forbid_unknown_fields=True):
    files: dict[str, str]
    result: Any


class _Log(Struct, forbid_unknown_fields=True):
    key: str
    done: dict[str, _Done] = field(default_factory=dict)


class Ledger:
    """The steps of one build in `directory`, which is emptied unless it is of the same `key`."""

    def __init__(self, directory: Path, key: str, total: int, tell: Tell) -> None:
        self.directory = directory
        self._total = total
        self._tell = tell
        self._number = 0
        self._path = directory / FILE_NAME
        self._steps = _read(self._path)
        if self._steps.key != key:
            self._steps = _Log(key)
        if not self._steps.done:
            shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True, exist_ok=True)

    def expect(self, more: int) -> None:
        """So many steps more than were known of."""
        self._total += more

    def step(
        self,
        name: str,
        kind: type[Result],
        make: Callable[[], Result],
        files: Callable[[Result], Files],
    ) -> Result:
        """The result of `make`, or of the time it last ran to its end.

        `files` says what it wrote into the directory. Raises `ConfigWrong` when the disk is full.
        """
        self._number += 1
        done = self._steps.done.get(name)
        if done is not None and self._unchanged(done):
            self._tell(Step(f"{name}: done before", self._number, self._total))
            return msgspec.convert(done.result, kind)
        self._tell(Step(name, self._number, self._total))
        with writing_in(self.directory):
            result = make()
            self._record(name, result, files(result))
        return result

    def close(self, target: Path) -> None:
        """The build is whole: put it in place of `target`, and only then forget its steps."""
        put(self.directory, target)
        (target / FILE_NAME).unlink(missing_ok=True)

    def _unchanged(self, done: _Done) -> bool:
        return all(
            (self.directory / name).is_file() and sha256_file(self.directory / name) == digest
            for name, digest in done.files.items()
        )

    def _record(self, name: str, result: Any, files: Files) -> None:
        digests = dict(files) if isinstance(files, Mapping) else dict.fromkeys(files, "")
        for file, digest in digests.items():
            for path in (self.directory / file, weights_of(self.directory / file)):
                if path.exists():
                    to_disk(path)
            digests[file] = digest or sha256_file(self.directory / file)
        self._steps.done[name] = _Done(digests, msgspec.to_builtins(result))
        partial = self._path.with_name(FILE_NAME + ".part")
        partial.write_bytes(msgspec.json.encode(self._steps))
        to_disk(partial)
        partial.replace(self._path)


def unfinished(engines: str, places: Iterable[Path]) -> ConfigWrong | None:
    """What to say of builds that were begun under this path, or name in one of `places`."""
    for place in (Path(engines), *(place / engines for place in places)):
        for steps in (place / FILE_NAME, *sorted(place.glob(f"*/{FILE_NAME}"))):
            if steps.is_file() and not (steps.parent / MANIFEST).is_file():
                return _begun(steps)
    return None


def _begun(steps: Path) -> ConfigWrong:
    done = ", ".join(_read(steps).done) or "nothing yet"
    writer = writer_of(steps.parent.parent)
    return ConfigWrong(
        f"{steps.parent} is a build that has not finished",
        f"done: {done}; " + (f"process {writer} is at it" if writer else "nobody is at it"),
        "wait for it" if writer else "run the same command again: it goes on behind these steps",
    )


def key_of(*facts: object) -> str:
    """Hex digest of all that a build is made from: texts, numbers, hashes, structs."""
    return hashlib.sha256(msgspec.json.encode(facts, order="sorted")).hexdigest()


def sources_key(*folders: Path) -> str:
    """Hex digest of the code in `folders`: what an older version wrote is not taken up again."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> _Log:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Log)
    except (OSError, msgspec.MsgspecError):
        return _Log("")


def to_disk(path: Path) -> None:
    """Wait until what was written survives a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
