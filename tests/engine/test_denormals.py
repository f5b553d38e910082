"""Within, what is too small to be normal is zero; behind it, all is as it was."""

from __future__ import annotations

import platform
import threading

import numpy as np
import pytest

from neon_edge.engine.denormals import Flushed

SMALL = np.full(4, 1e-40, np.float32)
knows = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"), reason="no control word known"
)


def product() -> float:
    return float((SMALL * np.float32(1))[0])


@knows
def test_products_are_flushed_within_and_not_behind() -> None:
    flushed = Flushed()
    for _ in range(3):
        assert product() > 0
        with flushed:
            assert product() == 0
    assert product() > 0


@knows
def test_an_error_within_puts_it_back_too() -> None:
    with pytest.raises(ZeroDivisionError), Flushed():
        raise ZeroDivisionError
    assert product() > 0


@knows
def test_other_threads_are_not_meant() -> None:
    found: list[float] = []
    with Flushed():
        thread = threading.Thread(target=lambda: found.append(product()))
        thread.start()
        thread.join()
    assert product() > 0
    # A thread starts with its maker's control word and keeps it.
    assert found == [0.0]


def test_an_unknown_machine_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with Flushed():
        assert product() > 0
