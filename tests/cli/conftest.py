"""No run outlives its test, however the test ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.live import Live


@pytest.fixture(autouse=True)
def _nothing_outlives_a_test() -> Iterator[None]:
    yield
    while Live.started:
        Live.started.pop().destroy()
