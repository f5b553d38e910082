"""A run says, before anything opens, when torque will go off."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from neon_edge.cli.main import main
from tests.cli.live import write_robot
from tests.transport.families import robot_of


@pytest.mark.parametrize("verb", ["run", "profile"])
@pytest.mark.parametrize(
    ("simulated", "stop", "told"),
    [
        (False, "relax", "when this run stops, the torque goes off at once"),
        (False, "damp", 'when this run stops, the torque goes off behind its stop = "damp"'),
        (True, "relax", ""),
    ],
)
def test_a_run_of_real_motors_warns_of_its_start_and_of_its_stop(
    verb: str,
    simulated: bool,
    stop: str,
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    robot = msgspec.structs.replace(robot_of("damiao"), simulated=simulated, stop=stop)
    buses = [msgspec.structs.replace(bus, channel="can7") for bus in robot.buses]
    file = write_robot(tmp_path / "r.toml", msgspec.structs.replace(robot, buses=buses))
    # There are no plans, so it ends there: nothing was opened.
    assert main([verb, "--robot", str(file), "--engines", str(tmp_path / "none")]) == 78
    err = capsys.readouterr().err
    assert told in err
    assert ("takes the torque off on bus 'line'" in err) == bool(told)
    if told:
        assert err.index("warning") < err.index("neon-edge:")
