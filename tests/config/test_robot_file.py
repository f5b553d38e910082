"""A robot file is read strictly: unknown keys, wrong types, contradictions are refused."""

from pathlib import Path

import pytest

from neon_edge.config import load_robot, search_path
from neon_edge.errors import ConfigWrong

GOOD = """
name = "two"
engines = "tiny"
rate_hz = 50

[[buses]]
kind = "can"
name = "left"
channel = "can0"

[[joints]]
name = "a"
bus = "left"
lower = -1.0
upper = 1.0
velocity = 2.0
effort = 10.0
[joints.motor]
family = "damiao"
id = 1
feedback_id = 17

[[joints]]
name = "b"
bus = "left"
lower = -1.0
upper = 1.0
velocity = 2.0
effort = 10.0
[joints.motor]
family = "damiao"
id = 2
feedback_id = 18
"""


def load(tmp_path: Path, text: str) -> object:
    path = tmp_path / "two.toml"
    path.write_text(text)
    return load_robot(str(path))


def test_a_good_file_loads_with_its_order(tmp_path: Path) -> None:
    robot = load(tmp_path, GOOD)
    assert robot.joint_names == ["a", "b"]  # type: ignore[attr-defined]


def test_cores_and_a_stage_s_budget_are_read(tmp_path: Path) -> None:
    more = "[runtime]\ncpus = [2, 3]\n[budget]\nheads_ms = 4\n"
    robot = load(tmp_path, GOOD + more)
    assert robot.runtime.cpus == [2, 3]  # type: ignore[attr-defined]
    assert robot.budget.heads_ms == 4.0  # type: ignore[attr-defined]
    assert load_robot("sim").runtime.cpus == "auto"
    assert load_robot("sim").budget.heads_ms is None


@pytest.mark.parametrize(
    ("change", "wrong", "fix"),
    [
        (('rate_hz = 50', 'rate_hx = 50'), "unknown key 'rate_hx'", "did you mean 'rate_hz'?"),
        (('channel = "can0"', 'chanel = "can0"'), "unknown key 'chanel'", "'channel'"),
        (("velocity = 2.0", "velocty = 2.0"), "unknown key 'velocty'", "'velocity'"),
        (("feedback_id = 17", "feedbackid = 17"), "unknown key 'feedbackid'", "'feedback_id'"),
        (('rate_hz = 50', 'rate_hz = "fifty"'), r"\$.rate_hz", "correct the value"),
        (('rate_hz = 50', 'rate_hz = -1'), r"\$.rate_hz", "correct the value"),
        (('family = "damiao"', 'family = "damiaw"'), "damiaw", "correct the value"),
        (("id = 1\n", "id = 4096\n"), r"motor.id", "correct the value"),
        (("lower = -1.0", "lower = 2.0"), "no room to move", "below upper"),
        (('bus = "left"', 'bus = "right"'), "bus that does not exist", "name one"),
        (('name = "b"', 'name = "a"'), "joint names must be unique", "rename"),
        (("id = 2\n", "id = 1\n"), "share one motor", "own id"),
        (('channel = "can0"', 'channel = "sim"'), "simulated parts", "simulated = true"),
        (('name = "two"', 'name = "two'), "not valid TOML", "mend"),
        (("velocity = 2.0", "velocity = nan"), "velocity", "correct"),
        (('rate_hz = 50', 'rate_hz = 50\nruntime.cpus = [2, 2]'), "each named once", '"auto"'),
        (('rate_hz = 50', 'rate_hz = 50\nruntime.cpus = []'), "needs cores", '"any"'),
        (('rate_hz = 50', 'rate_hz = 50\nruntime.cpus = [-1]'), "needs cores", "from 0"),
        (('rate_hz = 50', 'rate_hz = 50\nruntime.cpus = "none"'), r"runtime\.cpus", "correct"),
        (('rate_hz = 50', 'rate_hz = 50\nruntime.cpu = [1]'), "unknown key 'cpu'", "'cpus'"),
        (('rate_hz = 50', 'rate_hz = 50\nbudget.heads_ms = 0'), r"budget\.heads_ms", "correct"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_fix(
    tmp_path: Path, change: tuple[str, str], wrong: str, fix: str
) -> None:
    text = GOOD.replace(*change)
    assert text != GOOD
    with pytest.raises(ConfigWrong, match=wrong) as refused:
        load(tmp_path, text)
    assert fix in refused.value.fix
    assert refused.value.exit_code == 78
    assert len(str(refused.value).splitlines()) == 3


def test_a_robot_nobody_knows_names_the_places_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEON_EDGE_ROBOT", raising=False)
    with pytest.raises(ConfigWrong, match="no robot called 'nobody'") as refused:
        load_robot("nobody")
    assert all(str(place) in refused.value.facts for place in search_path())


def test_the_users_own_file_wins_over_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "neon-edge" / "robots"
    mine.mkdir(parents=True)
    (mine / "sim.toml").write_text(GOOD)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_robot("sim").name == "two"


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigWrong, match="cannot be read"):
        load_robot(str(tmp_path / "absent.toml"))
