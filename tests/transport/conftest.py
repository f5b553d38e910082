"""Emulated motors for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from neon_edge.config import RobotConfig
from neon_edge.sim import Simulation, start_sim
from tests.transport.two_families import Start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Simulation] = []

    def begin(config: RobotConfig) -> Simulation:
        running.append(start_sim(config, tmp_path / str(len(running))))
        return running[-1]

    yield begin
    for sim in running:
        sim.stop()
