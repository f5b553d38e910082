"""What a build tried and why it chose: decided, and drawn as lines for a person.

→ int8      76.1 ms   4.20 × float    125.8 MB  0.29 × float   fastest that passes its gate
  float    319.4 ms   1.00 × float    435.2 MB  1.00 × float   4.20 times as long
  int4     330.0 ms   0.97 × float     69.7 MB  0.16 × float   4.34 times as long; saves memory, not time
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import structs

from neon_edge.engine.manifest import Candidate

FLOAT = "float"
_NOISE = 1.03
"""A precision that is not faster by more than the measurement's noise is not worth its error."""


def fastest(times: Mapping[str, float]) -> str:
    """The name that is fastest, or the earliest that is as fast within the noise."""
    best = min(times.values())
    return next(name for name, spent in times.items() if spent <= best * _NOISE)


def decided(rows: Iterable[Candidate]) -> list[Candidate]:
    """The same, one of them chosen among those that passed; each one's note says why or why not.

    At least one must have passed.
    """
    table = list(rows)
    passed = {row.name: row for row in table if row.passed}
    winner = passed[fastest({name: row.median_ms for name, row in passed.items()})]
    return [
        structs.replace(row, chosen=row.name == winner.name, note=_joined(row, _why(row, winner)))
        if row.passed
        else row
        for row in table
    ]


def tried_lines(rows: Iterable[Candidate]) -> list[str]:
    """One a candidate: speed and size, and in parts of the float plans' where those passed."""
    table = list(rows)
    exact = next((row for row in table if row.name == FLOAT and row.passed), None)
    return [
        f"{'→' if row.chosen else ' '} {row.name:6} "
        + (_figures(row, exact) if row.passed else "dropped")
        + f"  {row.note}"
        for row in table
    ]


def _figures(row: Candidate, exact: Candidate | None) -> str:
    speed, size = f"{row.median_ms:9.2f} ms", f"{row.weight_bytes / 1e6:9.1f} MB"
    if exact is None or not row.median_ms or not exact.weight_bytes:
        return f"{speed} {size}"
    times = exact.median_ms / row.median_ms
    return (
        f"{speed} {times:5.2f} × float {size} {row.weight_bytes / exact.weight_bytes:5.2f} × float"
    )


def _why(row: Candidate, winner: Candidate) -> str:
    if row.name == winner.name:
        return "chosen: the fastest that passes its gate"
    slower = row.median_ms / winner.median_ms
    said = f"{slower:.2f} times as long as {winner.name}"
    if slower < _NOISE:
        said += ", within the measurement's noise"
    return f"{said}; saves memory, not time" if row.weight_bytes < winner.weight_bytes else said


def _joined(row: Candidate, said: str) -> str:
    return f"{row.note}; {said}" if row.note else said
