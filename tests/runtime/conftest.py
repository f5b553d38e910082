"""One recording for every test that reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.recordings import record_with_faults


@pytest.fixture(scope="session")
def recording(plans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run with faults."""
    path = tmp_path_factory.mktemp("recorded") / "run.mcap"
    record_with_faults(plans, path)
    return path
