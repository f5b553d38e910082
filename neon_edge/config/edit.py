"""Changes to a robot file that leave its comments and its order as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

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


def write_offsets(path: Path, offsets: Mapping[str, float]) -> None:
    """Change a robot file in one go: a reader finds the old or the new one, whole."""
    changed = with_offsets(path.read_text(encoding="utf-8"), offsets)
    draft = path.with_name(path.name + ".new")
    draft.write_text(changed, encoding="utf-8")
    draft.replace(path)
