"""Bus loads against published bit counts and the arithmetic of a 29-joint robot."""

import msgspec
import pytest

from neon_edge.config import Bus, CanBus, RobotConfig, SerialBus, load_robot
from neon_edge.errors import ConfigWrong
from neon_edge.transport.load import bus_loads, can_bits, can_fd_s, check_load
from tests.transport.families import robot_of


def robot(family: str, joints: int, rate_hz: float, bus: Bus | None = None) -> RobotConfig:
    made = robot_of(family, 1, rate_hz)
    names = [msgspec.structs.replace(made.joints[0], name=f"j{k}") for k in range(joints)]
    made = msgspec.structs.replace(made, joints=names)
    return made if bus is None else msgspec.structs.replace(made, buses=[bus])


def test_a_classic_frame_of_eight_bytes_is_135_bits_and_160_extended() -> None:
    assert (can_bits(8), can_bits(8, extended=True)) == (135, 160)
    # A remote frame without payload: 47 bits, eight of them stuffed at worst.
    assert can_bits(0) == 55


def test_fd_frames_are_as_long_as_the_standard_makes_them() -> None:
    # Published with one stuff bit in five as 55, 87 and 163 µs; the worst is one in four.
    for payload, usual_us in ((8, 55), (24, 87), (64, 163)):
        assert usual_us <= can_fd_s(payload, 1_000_000) * 1e6 <= usual_us * 1.05


@pytest.mark.parametrize(
    ("family", "joints", "rate_hz", "percent", "rate_max_hz"),
    [
        ("damiao", 29, 50.0, 39, 89),
        ("damiao", 29, 200.0, 157, 89),
        ("damiao", 15, 200.0, 81, 173),
        ("damiao", 8, 200.0, 43, 324),
        ("robstride", 29, 50.0, 46, 75),
        ("robstride", 29, 200.0, 186, 75),
        ("robstride", 8, 200.0, 51, 273),
    ],
)
def test_loads_of_a_humanoid(
    family: str, joints: int, rate_hz: float, percent: int, rate_max_hz: int
) -> None:
    (load,) = bus_loads(robot(family, joints, rate_hz))
    assert round(load.share * 100) == percent
    assert load.rate_max_hz == pytest.approx(rate_max_hz, abs=1)


@pytest.mark.parametrize(
    ("family", "joints", "bus", "milliseconds", "look"),
    [
        ("dynamixel", 29, SerialBus("line", "x"), 8.7, 0.34),
        ("dynamixel", 29, SerialBus("line", "x", fast_sync_read=True), 6.2, 0.34),
        ("dynamixel", 29, SerialBus("line", "x", baud=4_000_000), 2.6, 0.1),
        ("dynamixel", 7, SerialBus("line", "x"), 2.3, 0.34),
        ("feetech", 29, SerialBus("line", "x"), 5.4, 0.26),
        ("feetech", 6, SerialBus("line", "x"), 1.24, 0.26),
        ("unitree", 29, SerialBus("line", "x", baud=4_000_000), 5.3, 0.02),
    ],
)
def test_cycles_of_serial_lines(
    family: str, joints: int, bus: Bus, milliseconds: float, look: float
) -> None:
    """States and goals as published, and one servo of the line looked at."""
    (load,) = bus_loads(robot(family, joints, 50.0, bus))
    assert load.tick_s * 1e3 == pytest.approx(milliseconds + look, abs=0.051)


@pytest.mark.parametrize("family", ["feetech_scs", "unitree"])
def test_a_line_of_turns_has_no_more_of_a_tick_than_it_is_waited_for(family: str) -> None:
    check_load(robot_of(family, 8, rate_hz=50.0))
    with pytest.raises(ConfigWrong, match="cannot carry") as caught:
        check_load(robot_of(family, 15, rate_hz=200.0))
    assert "at most 30%" in caught.value.facts


def test_what_cannot_fit_is_refused_and_what_would_is_named() -> None:
    with pytest.raises(ConfigWrong, match="cannot carry") as caught:
        check_load(robot("damiao", 29, 200.0))
    assert "157%" in caught.value.facts
    for way in ("rate_hz = 89", "over 3 such buses", "fd = true"):
        assert way in caught.value.fix
    check_load(robot("damiao", 29, 200.0, CanBus("line", "x", fd=True)))
    check_load(robot("damiao", 29, 89.0))


def test_every_shipped_robot_fits() -> None:
    check_load(load_robot("sim"))
