"""What a build tried, decided and drawn."""

from __future__ import annotations

from neon_edge.engine.manifest import Candidate
from neon_edge.engine.tried import decided, fastest, tried_lines


def rows(int8: float, int4: float) -> list[Candidate]:
    return [
        Candidate("float", True, 100.0, 400_000_000, "largest joint error 1e-5 rad"),
        Candidate("int8", True, int8, 110_000_000, ""),
        Candidate("int4", True, int4, 60_000_000, ""),
    ]


def test_what_is_not_faster_than_noise_is_not_chosen() -> None:
    assert fastest({"float": 10.0, "int8": 9.9}) == "float"
    assert fastest({"float": 10.0, "int8": 8.0, "int4": 7.9}) == "int8"


def test_the_fastest_is_chosen_and_the_smallest_is_told_apart_from_it() -> None:
    exact, int8, int4 = decided(rows(25.0, 105.0))
    assert [row.chosen for row in (exact, int8, int4)] == [False, True, False]
    assert int8.note == "chosen: the fastest that passes its gate"
    assert int4.note == "4.20 times as long as int8; saves memory, not time"
    assert exact.note == "largest joint error 1e-5 rad; 4.00 times as long as int8"
    text = tried_lines([exact, int8, int4])
    assert text[1].startswith("→ int8") and "4.00 × float" in text[1] and "0.28 × float" in text[1]
    assert "0.95 × float" in text[2] and "60.0 MB" in text[2]


def test_a_tie_goes_to_what_loses_least() -> None:
    exact, int8, int4 = decided(rows(99.0, 98.0))
    assert exact.chosen
    assert "noise" in int8.note and "saves memory" in int4.note


def test_what_missed_its_gate_is_never_chosen_and_says_why() -> None:
    missed = Candidate("int8", False, 0.0, 110_000_000, "joint 0.2 > 0.05 rad")
    table = decided([rows(1, 1)[0], missed])
    assert table[0].chosen and table[1] == missed
    assert "dropped  joint 0.2 > 0.05 rad" in tried_lines(table)[1]
    assert "× float" not in tried_lines([missed])[0]
