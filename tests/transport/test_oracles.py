"""Frames against the libraries that people drive these motors with."""

import pytest

from neon_edge.transport.protocol import unitree
from tests.transport.oracles import table
from tests.transport.oracles.table import ORACLES, compare

MODULES = {
    "damiao": "damiao_motor",
    "dynamixel": "dynamixel_sdk",
    "feetech": "scservo_sdk",
    "robstride": "robstride_dynamics",
    "odrive": "cantools",
    "moteus": "moteus",
    "cia402": "canopen",
    "unitree": "crccheck",
}


@pytest.mark.parametrize("family", ORACLES)
def test_frames_are_the_librarys(family: str) -> None:
    pytest.importorskip(MODULES[family])
    seen = compare(family, 600, seed=7)
    assert (seen.differences, seen.first) == (0, "")
    assert seen.frames >= 600


def test_a_difference_is_counted_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unitree, "_GAIN", unitree._GAIN * 1.01)
    monkeypatch.setattr(table, "ORACLES", {"unitree": ORACLES["unitree"]})
    assert table.main(300) == 1
    _, row, told = capsys.readouterr().out.splitlines()
    assert row.split()[:5] == ["unitree", "crccheck", row.split()[2], "0", "3"]
    assert told.startswith("  seed 1: ")
