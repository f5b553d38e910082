"""How a bench ends: its table or one JSON document, what missed its bar, and the exit code."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with `--json`; `description` is the bench's docstring."""
    first = (description or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=first)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def judged(
    figures: dict[str, Any], table: Sequence[str], missed: Sequence[str], as_json: bool
) -> int:
    """Print; 1 where a bar was missed."""
    if as_json:
        print(json.dumps({**figures, "bars_missed": list(missed)}))
    else:
        print("\n".join(table))
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    return int(bool(missed))
