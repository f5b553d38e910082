"""The X series' control table: addresses, and fields as bytes.

Source: emanual.robotis.com/docs/en/dxl/x/xm430-w350 and xl430-w250, "Control Table".
"""

from __future__ import annotations

import math
import struct

import numpy as np
import numpy.typing as npt

from neon_edge.types import Float64

# EEPROM: written only with torque off, and only so often in a servo's life.
MODEL_NUMBER = 0
FIRMWARE = 6
ID = 7
RETURN_DELAY = 9
DRIVE_MODE = 10
OPERATING_MODE = 11
HOMING_OFFSET = 20
PWM_LIMIT = 36
CURRENT_LIMIT = 38
POSITION_LIMITS = 48
"""Maximum, then minimum: two u32."""

EEPROM_END = 64
TORQUE_ENABLE = 64
STATUS_RETURN = 68
HARDWARE_ERROR = 70
BUS_WATCHDOG = 98
GOAL_PWM = 100
GOAL_CURRENT = 102
GOAL_POSITION = 116
PWM_COUNTS = 885
"""Full PWM."""
LOAD_PER_PWM = 1000 / PWM_COUNTS
"""Present load, in thousandths, stands where servos without current measurement have none."""
PRESENT = 126
"""Present current (or load) i16, velocity i32, position i32: ten bytes in one go."""
PRESENT_BYTES = 10
TABLE_BYTES = 147

RETURN_DELAY_UNIT_NS = 2_000
WATCHDOG_STEP_MS = 20
WATCHDOG_TRIPPED = 0xFF
WATCHDOG_FIRMWARE, FAST_SYNC_FIRMWARE = 38, 45
"""The first that have each."""
POSITION = 3
"""Operating mode: position control that never exceeds the goal PWM."""
CURRENT_BASED_POSITION = 5
"""Operating mode: position control that never exceeds the goal current."""
REPLY_ALWAYS = 2

_PRESENT = struct.Struct("<hii")


def watchdog_register(watchdog_ms: int) -> int:
    """Register 98 for a silence in ms. Raises `ValueError` off its 20 ms grid."""
    steps, rest = divmod(watchdog_ms, WATCHDOG_STEP_MS)
    if rest or not 0 <= steps <= 127:
        raise ValueError(f"{watchdog_ms} ms is not 0 .. 2540 in steps of {WATCHDOG_STEP_MS}")
    return steps


def counts_from_positions(positions: Float64, counts_per_turn: Float64) -> npt.NDArray[np.int64]:
    """Positions (n,) in rad, zero at half a turn, to the nearest count.

    Raises `ValueError` for what is not finite or not within one turn.
    """
    counts = np.rint(positions * (counts_per_turn / math.tau) + counts_per_turn / 2)
    # Comparisons with NaN are false, so this refuses NaN and both infinities too.
    if not bool(((counts >= 0) & (counts < counts_per_turn)).all()):
        raise ValueError(f"positions {positions} rad are not all within one turn")
    return counts.astype(np.int64)


def position_from_count(count: int, counts_per_turn: int) -> float:
    """Radians, zero at half a turn."""
    return (count - counts_per_turn / 2) * math.tau / counts_per_turn


def encode_present(current: int, velocity: int, position: int) -> bytes:
    """What a servo keeps at PRESENT, in counts."""
    return _PRESENT.pack(current, velocity, position)


def decode_present(values: bytes) -> tuple[int, int, int]:
    """Current, velocity and position in counts. Raises `ValueError` for a wrong length."""
    if len(values) != PRESENT_BYTES:
        raise ValueError(f"{len(values)} bytes where {PRESENT_BYTES} are read")
    current, velocity, position = _PRESENT.unpack(values)
    return current, velocity, position
