"""Frames against the libraries that people drive these motors with."""

import pytest

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
    assert compare(family, 600, seed=7) >= 600
