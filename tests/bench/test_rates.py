"""What `bench_rates.py` says of its rows: every try is judged, and none without its witness."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bench import bench_rates
from tests.bench.bench_rates import verdict


def row(rate_hz: int, missed: int, p999: float = 100.0, worst: float | None = 100.0) -> Any:
    theirs = None if worst is None else {"max": worst}
    return {
        "rate_hz": rate_hz, "missed": missed, "lateness_us": {"p999": p999},
        "cyclictest_us": theirs,
    }  # fmt: skip


def test_a_rate_that_missed_in_one_try_is_not_held() -> None:
    assert verdict([row(50, 0), row(100, 0), row(200, 3), row(200, 0)]) == (100, 1.0, True)
    assert verdict([row(50, 1), row(50, 0), row(100, 0)]) == (100, 1.0, False)
    assert verdict([row(50, 0), {"rate_hz": 50, "failed": ["x"]}]).kept is False


def test_lateness_is_that_of_the_worst_try() -> None:
    assert verdict([row(50, 0, 150.0), row(50, 0, 250.0)]) == (50, 2.5, False)
    assert verdict([row(50, 0, 200.0)]) == (50, 2.0, True)


def test_without_cyclictest_lateness_is_not_called_good() -> None:
    rows = [row(50, 0, worst=None)]
    assert verdict(rows) == (50, None, False)
    assert verdict(rows, without_cyclictest=True) == (50, None, True)
    assert verdict([row(50, 1, worst=None)], without_cyclictest=True).kept is False


def test_without_cyclictest_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_rates, "have_cyclictest", lambda: False)
    monkeypatch.setattr("sys.argv", ["bench_rates.py"])
    with pytest.raises(SystemExit) as ended:
        bench_rates.main()
    assert ended.value.code == 69
    assert len(capsys.readouterr().err.strip().splitlines()) == 3
