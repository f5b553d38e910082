"""Changes to a robot file that leave its comments and its order as they are."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from neon_edge.config.find import SHIPPED, find_robot, search_path
from neon_edge.errors import ConfigWrong

_NAME = re.compile(r'^name\s*=\s*"([^"]*)"', re.MULTILINE)
_OFFSET = re.compile(r"^offset\s*=.*$", re.MULTILINE)


def with_offsets(text: str, offsets: Mapping[str, float]) -> str:
    """A robot file's text with those joints' offsets, rad. Raises `ConfigWrong` for one absent."""
    head, *blocks = re.split(r"(?m)^(?=\[\[)", text)
    left = dict(offsets)
    for place, block in enumerate(blocks):
        name = _NAME.search(block)
        if not block.startswith("[[joints]]") or name is None or name[1] not in left:
            continue
        line = f"offset = {left.pop(name[1]):.6f}"
        if _OFFSET.search(block):
            blocks[place] = _OFFSET.sub(line, block, count=1)
        else:
            blocks[place] = block[: name.end()] + "\n" + line + block[name.end() :]
    if left:
        raise ConfigWrong(
            "the robot file does not have these joints where they can be changed",
            ", ".join(sorted(left)),
            "write each joint as a [[joints]] table of its own",
        )
    return head + "".join(blocks)


def own_file(name: str) -> tuple[Path, Path | None]:
    """The file that `--robot NAME` means, to be changed, and what it must first be copied from.

    A robot that came with the package by its name is not changed in there: a copy in the user's own
    directory, which is searched first, takes its place. Raises `ConfigWrong` where the file or its
    directory may not be written.
    """
    found, copied = find_robot(name), None
    if found.parent == SHIPPED and not name.endswith(".toml"):
        found, copied = search_path()[0] / found.name, found
    nearest = next(parent for parent in found.absolute().parents if parent.exists())
    if not os.access(nearest, os.W_OK):
        raise ConfigWrong(
            "the robot file cannot be changed",
            f"{nearest} is not yours to write",
            f"copy {copied or found} to {search_path()[0]} and name the copy",
        )
    return found, copied


def write_offsets(path: Path, offsets: Mapping[str, float], source: Path | None = None) -> None:
    """Change a robot file in one go: a reader finds the old or the new one, whole.

    With a `source`, `path` becomes that file with these offsets.
    """
    changed = with_offsets((source or path).read_text(encoding="utf-8"), offsets)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.write_text(changed, encoding="utf-8")
    draft.replace(path)
