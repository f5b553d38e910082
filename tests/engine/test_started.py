"""What a process that runs plans is started with."""

from __future__ import annotations

import os

import pytest

from neon_edge.engine.started import HUGE_PAGES, environment


def test_it_gets_huge_pages_and_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    made = environment()
    assert made["GLIBC_TUNABLES"] == HUGE_PAGES
    assert made["OMP_NUM_THREADS"] == "1" and made["PATH"] == os.environ["PATH"]


def test_tunables_that_a_person_set_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.perturb=1")
    assert environment()["GLIBC_TUNABLES"] == "glibc.malloc.perturb=1"
