"""What each family's motors can be told, to generate a robot file from: its ranges and its bus.

A robot file states its own motors; this only chooses a likely one, and says that it did. Ranges are
those of the frames (transport/protocol), torques and speeds those of the makers' data sheets.
"""

from __future__ import annotations

import math
from typing import NamedTuple

WHOLE_TURN = 3.13
"""rad either way, in a servo that counts one turn: its last count is short of π."""


class Model(NamedTuple):
    """A motor, SI, at the joint: the largest magnitude that each value may have."""

    name: str
    reach: float
    velocity: float
    effort: float
    kp: float
    kd: float
    keys: str = ""
    """What the robot file says of it beside its address, as TOML."""


class Family(NamedTuple):
    """Its models, weakest first, and how its buses are laid out."""

    models: tuple[Model, ...]
    bus: str
    """The bus's keys beside name and channel, as TOML."""
    most: int
    """Joints a bus carries at 50 Hz with room to spare, or has ids for."""
    first: int = 1
    """The lowest id."""


def _damiao(name: str, velocity: float, torque: float) -> Model:
    keys = f"position_max = 12.5, velocity_max = {velocity}, torque_max = {torque}"
    return Model(name, 12.5, velocity, torque, 500.0, 5.0, keys)


def _robstride(name: str, velocity: float, torque: float, kp: float, kd: float) -> Model:
    return Model(name, 4 * math.pi, velocity, torque, kp, kd, f'model = "{name}"')


FAMILIES = {
    "damiao": Family(
        (
            _damiao("DM4310", 30.0, 10.0),
            _damiao("DM6006", 45.0, 20.0),
            _damiao("DM4340", 10.0, 28.0),
            _damiao("DM8006", 45.0, 40.0),
            _damiao("DM8009", 45.0, 54.0),
            _damiao("DM10010L", 25.0, 200.0),
        ),
        'kind = "can"',
        15,
    ),
    "robstride": Family(
        (
            _robstride("rs02", 44.0, 17.0, 500.0, 5.0),
            _robstride("rs03", 50.0, 60.0, 5000.0, 100.0),
            _robstride("rs04", 15.0, 120.0, 5000.0, 100.0),
        ),
        'kind = "can"',
        32,
    ),
    "odrive": Family(
        (Model("an ODrive behind a gear of 8", 1e3, 25.0, 250.0, 1e4, 1e4, "gear = 8.0"),),
        'kind = "can"',
        16,
    ),
    "moteus": Family(
        (Model("a moteus", 1e3, 100.0, 300.0, 200.0, 10.0, "kp_max = 200.0, kd_max = 10.0"),),
        'kind = "can"\nfd = true',
        32,
    ),
    "cia402": Family(
        (Model("a CiA 402 drive", 1e3, 100.0, 1e3, 1e4, 1e3, "rated_torque = {effort}"),),
        'kind = "can"',
        32,
    ),
    "dynamixel": Family(
        (Model("XM430-W350 at 12 V", WHOLE_TURN, 4.8, 4.1, 1e3, 1e3, "model = 1020"),),
        'kind = "serial"\nbaud = 1_000_000',
        24,
    ),
    "feetech": Family(
        (Model("STS3215 at 12 V", WHOLE_TURN, 4.7, 2.9, 1e3, 1e3, "stall_torque = 2.94"),),
        'kind = "serial"\nbaud = 1_000_000',
        24,
    ),
    "unitree": Family(
        (Model("GO-M8010-6", 1e3, 30.0, 23.7, 1e3, 1e3, "unconfirmed = true"),),
        'kind = "serial"\nbaud = 4_000_000',
        15,
        first=0,
    ),
}


def choose(family: str, effort: float, velocity: float) -> Model:
    """The weakest that is strong and quick enough, else the strongest."""
    models = FAMILIES[family].models
    fit = [m for m in models if m.effort >= effort and m.velocity >= velocity]
    strong = [m for m in models if m.effort >= effort]
    return (fit or strong or [models[-1]])[0]
