"""Offsets written into a robot file: everything else stays as it was."""

import pytest

from neon_edge.config import load_robot
from neon_edge.config.edit import with_offsets, write_offsets
from neon_edge.config.find import SHIPPED
from neon_edge.errors import ConfigWrong

SIM = (SHIPPED / "sim.toml").read_text(encoding="utf-8")


def test_offsets_are_set_and_nothing_else_changes(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "sim.toml"
    path.write_text(SIM, encoding="utf-8")
    write_offsets(path, {"left_knee": 0.25, "waist_yaw": -0.5})
    write_offsets(path, {"left_knee": 0.125})
    before, after = load_robot("sim"), load_robot(str(path))
    for old, new in zip(before.joints, after.joints, strict=True):
        expected = {"left_knee": 0.125, "waist_yaw": -0.5}.get(new.name, 0.0)
        assert new.offset == expected
        assert (old.motor, old.lower, old.kp) == (new.motor, new.lower, new.kp)
    kept = [line for line in path.read_text().splitlines() if not line.startswith("offset")]
    assert kept == SIM.splitlines()


def test_a_joint_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigWrong, match="does not have"):
        with_offsets(SIM, {"tail": 0.1})
