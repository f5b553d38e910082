"""Every bench ends the same way: a table or one document, and 1 where a bar was missed."""

from __future__ import annotations

import json

import pytest

from tests.bench.bench_loss import missed_by_us
from tests.bench.judged import arguments, judged


@pytest.mark.parametrize(("missed", "code"), [([], 0), (["row: 2.0 times"], 1)])
def test_a_miss_is_told_and_is_the_exit_code(
    missed: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judged({"ratio": 2.0}, ["a", "b"], missed, False) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("a\nb\n", "".join(f"missed: {line}\n" for line in missed))
    assert judged({"ratio": 2.0}, ["a", "b"], missed, True) == code
    out, _ = capsys.readouterr()
    assert json.loads(out) == {"ratio": 2.0, "bars_missed": missed}


def test_json_is_a_flag_of_all() -> None:
    assert arguments("One line.\n\nMore.").parse_args(["--json"]).json is True


@pytest.mark.parametrize(("missed", "bare", "ours"), [(0, 0, 0), (4, 3, 1), (3, 4, 0)])
def test_what_the_machine_missed_by_itself_is_not_ours(missed: int, bare: int, ours: int) -> None:
    assert missed_by_us(missed, bare) == ours
