"""All MIT commands of a bus in one go: the same bytes as `damiao.encode_command`, for a tick."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from neon_edge.transport.protocol.damiao import FRAME_BYTES, KD_MAX, KP_MAX, Ranges
from neon_edge.types import Float64

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.intp]

_SHIFTS = np.array([[48], [36], [24], [12], [0]], np.uint64)
_STEPS = np.array([[65535.0], [4095.0], [4095.0], [4095.0], [4095.0]])
_SPECIAL = np.uint64(0xFFFF_FFFF_FFFF_FF)
_POSITION_SHIFT, _POSITION_STEPS = 48, 65535
ALL_BUT_POSITION = 0xFFFF_FFFF_FFFF

_FEEDBACK_ROWS = [0, 1, 4]
_FEEDBACK_SHIFTS = np.array([[40], [28], [16]], np.uint64)
_FEEDBACK_MASKS = np.array([[0xFFFF], [0xFFF], [0xFFF]], np.uint64)
CONDITION = 60
_FEEDBACK_STEPS = np.array([[65535.0], [4095.0], [4095.0]])


class CommandBatch:
    """The ranges of n motors, ready to encode. Rows: position, velocity, kp, kd, torque."""

    def __init__(self, motors: Sequence[Ranges]) -> None:
        n = len(motors)
        maxima = np.array(motors, np.float64).reshape(n, 3).T
        self.high = np.stack(
            [maxima[0], maxima[1], np.full(n, KP_MAX), np.full(n, KD_MAX), maxima[2]]
        )
        self.low = -self.high
        self.low[2:4] = 0.0
        self._span = self.high - self.low
        self._heard_low, self._heard_span = self.low[_FEEDBACK_ROWS], self._span[_FEEDBACK_ROWS]

    def encode(self, rows: Float64) -> list[bytes]:
        """Rows (5, n) in SI units at the motors, to n payloads of eight bytes; as `words`."""
        packed = self.words(rows).astype(">u8").tobytes()
        return [packed[i : i + FRAME_BYTES] for i in range(0, len(packed), FRAME_BYTES)]

    def words(self, rows: Float64) -> Words:
        """Rows (5, n) to n payloads as numbers, first byte highest.

        Raises `ValueError` for what is not finite or out of range, before any byte is made.
        """
        if not bool(((rows >= self.low) & (rows <= self.high)).all()):
            raise ValueError(f"command outside the motors' ranges or not finite: {rows.tolist()}")
        # The order of operations is the published one: truncation makes the last bit depend on it.
        fields = ((rows - self.low) / self._span * _STEPS).astype(np.uint64)
        words: Words = np.bitwise_or.reduce(fields << _SHIFTS, axis=0)
        if bool((words >> np.uint64(8) == _SPECIAL).any()):
            raise ValueError("a command's bytes would be taken for a special frame")
        return words

    def decode(
        self, payloads: Sequence[bytes], places: Sequence[int]
    ) -> tuple[list[tuple[float, float, float]], list[int]]:
        """Feedback frames of the motors at `places`: (position, velocity, torque) and conditions.

        The same numbers as `damiao.decode_feedback`, eight bytes each.
        """
        words = np.frombuffer(b"".join(payloads), ">u8").astype(np.uint64)
        where = np.array(places, np.intp)
        low, span = self._heard_low[:, where], self._heard_span[:, where]
        values = low + _feedback_fields(words) / _FEEDBACK_STEPS * span
        states: list[tuple[float, float, float]] = list(zip(*values.tolist(), strict=True))
        return states, (words >> np.uint64(CONDITION)).tolist()

    def mounted(self, signs: Sequence[float], offsets: Sequence[float]) -> Mounted:
        """For motors mounted with `signs` and `offsets`, (n,)."""
        return Mounted(self.low, self.high, signs, offsets)


class Mounted:
    """A tick of motors, joint values to words and back, by joint and in Python.

    For some dozens of motors this takes less than numpy does once in 20 ms: each of its functions
    has left the caches by then, and the interpreter has not.
    """

    def __init__(
        self, low: Float64, high: Float64, signs: Sequence[float], offsets: Sequence[float]
    ) -> None:
        span, bias = (high - low)[_FEEDBACK_ROWS], low[_FEEDBACK_ROWS].copy()
        bounds = zip(signs, offsets, bias[0].tolist(), span[0].tolist(), strict=True)
        self._goals = list(bounds)
        sign = np.array(signs)
        bias[0] -= np.array(offsets)
        self._factors = (sign * span / _FEEDBACK_STEPS).tolist()
        self._biases = (sign * bias).tolist()

    def words(self, rests: Sequence[int], positions: Sequence[float]) -> list[int] | None:
        """Commands that differ from earlier ones in nothing but the joints' positions.

        `rests` are those earlier words less their positions. None where a position is not finite,
        not within its motor's range, or so near full scale that `CommandBatch.words` must look.
        """
        shares = [
            (sign * q + offset - low) / span
            for q, (sign, offset, low, span) in zip(positions, self._goals, strict=True)
        ]
        # The sum is for NaN, of which `min` and `max` lose sight.
        fits = min(shares) >= 0.0 and max(shares) < 1.0 and math.isfinite(sum(shares))
        if not fits:
            return None
        return [
            int(share * _POSITION_STEPS) << _POSITION_SHIFT | rest
            for share, rest in zip(shares, rests, strict=True)
        ]

    def states(self, words: Sequence[int]) -> tuple[list[float], list[float], list[float]]:
        """Positions, velocities and torques of the joints, (n,) each, from all motors' words."""
        position, velocity, torque = zip(self._factors, self._biases, strict=True)
        return (
            [(w >> 40 & 0xFFFF) * a + b for w, a, b in zip(words, *position, strict=True)],
            [(w >> 28 & 0xFFF) * a + b for w, a, b in zip(words, *velocity, strict=True)],
            [(w >> 16 & 0xFFF) * a + b for w, a, b in zip(words, *torque, strict=True)],
        )

    def some_states(
        self, words: Sequence[int], places: Sequence[int]
    ) -> tuple[list[float], list[float], list[float]]:
        """The same of the motors at `places`."""
        part = Mounted.__new__(Mounted)
        part._factors = [[row[k] for k in places] for row in self._factors]
        part._biases = [[row[k] for k in places] for row in self._biases]
        return part.states(words)


def _feedback_fields(words: Words) -> Float64:
    return (words >> _FEEDBACK_SHIFTS & _FEEDBACK_MASKS).astype(np.float64)
