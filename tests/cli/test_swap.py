"""Two heads on one backbone, one of them swapped while the robot walks: the whole product."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.config import load_robot
from neon_edge.config.heads import HeadsChoice
from neon_edge.engine.manifest import Manifest, read_manifest, write_manifest
from neon_edge.runtime.messages import ROWS
from neon_edge.runtime.observed import Kind, observed_fields
from neon_edge.runtime.replay import replay
from neon_edge.telemetry.mapped import row_dtype
from neon_edge.telemetry.recording import Recorded
from neon_edge.types import Rung
from tests.cli.live import Live, wait_s, write_robot
from tests.conftest import neon_edge

pytestmark = pytest.mark.slow
SIM = load_robot("sim")
ARMS = SIM.joint_names[15:]


def copied(plans: Path, place: Path, manifest: Manifest) -> Path:
    """The same plan files under another manifest."""
    shutil.copytree(plans.resolve(), place)
    write_manifest(place, manifest)
    return place


@pytest.fixture
def others(plans: Path, tmp_path: Path) -> dict[str, Path]:
    """Plans that fit, and two sets that do not."""
    manifest = read_manifest(plans)
    heads = manifest.heads
    named = msgspec.structs.replace(heads, checkpoint="the other one")
    turned = msgspec.structs.replace(heads, joint_names=heads.joint_names[::-1])
    missed = msgspec.structs.replace(manifest.gates[0], passed=False)
    change = msgspec.structs.replace
    return {
        "fits": copied(plans, tmp_path / "fits", change(manifest, heads=named)),
        "turned": copied(plans, tmp_path / "turned", change(manifest, heads=turned)),
        "missed": copied(plans, tmp_path / "missed", change(manifest, gates=[missed])),
    }


def test_a_head_is_swapped_while_another_goes_on_and_the_base_walks(
    plans: Path, others: dict[str, Path], tmp_path: Path
) -> None:
    choices = [
        HeadsChoice(name="arms", drives=list(ARMS)),
        HeadsChoice(name="walk", plans=str(others["fits"]), drives=["base"]),
    ]
    robot = write_robot(tmp_path / "two.toml", msgspec.structs.replace(SIM, heads=choices))
    path = tmp_path / "run.mcap"
    live = Live(plans, "--record", str(path), robot=str(robot))
    live.until_ticking()
    live.until(Rung.RUN)
    wait_s(2)
    socket = ("--socket", str(live.directory))
    for asked, facts in (
        (("turned", "--head", "walk"), f"running {SIM.joint_names[0]!r}, wanted {ARMS[-1]!r}"),
        (("missed", "--head", "walk"), manifest_gate(plans)),
        (("fits",), "running: arms, walk"),
    ):
        refused = neon_edge("swap", str(others[asked[0]]), *asked[1:], *socket)
        assert refused.returncode == 78, refused.stderr
        assert facts in refused.stderr
    swapped = neon_edge("swap", str(others["fits"]), "--head", "arms", "--json", *socket)
    assert swapped.returncode == 0, swapped.stderr
    told = json.loads(swapped.stdout)["told"]
    wait_s(2)
    live.run.terminate()
    code, out, err = live.end()
    assert code == 0, err
    report = json.loads(out)
    assert report["base_commands_received"] == report["base_commands_sent"] > 100
    assert "swapped behind tick" in err
    messages = list(Recorded(path).messages())
    events = [json.loads(each.payload)["message"] for each in messages if each.topic == "/event"]
    assert [event for event in events if "'arms' swapped" in event and "other one" in event]
    dtype = row_dtype(observed_fields(len(SIM.joints)))
    rows = np.frombuffer(b"".join(m.payload for m in messages if m.topic == ROWS), dtype)
    at = int(np.flatnonzero(rows["kind"] == Kind.SWAP)[0])
    assert rows["number"][at - 1] == told["tick"]
    assert rows["number"][at + 1] > told["tick"]
    ticks = rows[rows["kind"] == Kind.TICK]
    assert ticks["wanted_base"].any()
    assert ticks["base"].any()
    # What nobody drives holds the pose in which it was found.
    legs = ticks["command_position"][:, :15]
    assert np.ptp(legs, axis=0).max() == 0
    assert np.ptp(ticks["command_position"][:, 15:], axis=0).max() > 0
    assert replay(path).differing == 0


def manifest_gate(plans: Path) -> str:
    return read_manifest(plans).gates[0].name
