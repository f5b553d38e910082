"""All MIT commands of a bus in one go: the same bytes as `damiao.encode_command`, for a tick."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from neon_edge.transport.protocol.damiao import FRAME_BYTES, KD_MAX, KP_MAX, Ranges

Float64 = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.intp]

_SHIFTS = np.array([[48], [36], [24], [12], [0]], np.uint64)
_STEPS = np.array([[65535.0], [4095.0], [4095.0], [4095.0], [4095.0]])
_SPECIAL = np.uint64(0xFFFF_FFFF_FFFF_FF)
_POSITION, _ALL_BUT_POSITION = np.uint64(48), np.uint64(0xFFFF_FFFF_FFFF)

_FEEDBACK_ROWS = [0, 1, 4]
_FEEDBACK_SHIFTS = np.array([[40], [28], [16]], np.uint64)
_FEEDBACK_MASKS = np.array([[0xFFFF], [0xFFF], [0xFFF]], np.uint64)
_CONDITION = np.uint64(60)
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

    def moved(self, words: Words, positions: Float64) -> bool:
        """Put other positions (n,) into `words` of an earlier command: all that most ticks change.

        False, and nothing is put, where they are not finite, not within their ranges, or so near
        full scale that `words` must look at the whole.
        """
        share = (positions - self.low[0]) / self._span[0]
        # Of NaN either comparison is false.
        if not (share.min() >= 0.0 and share.max() < 1.0):
            return False
        fields = (share * _STEPS[0]).astype(np.uint64)
        words &= _ALL_BUT_POSITION
        words |= fields << _POSITION
        return True

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
        return states, (words >> _CONDITION).tolist()

    def mounted(self, sign: Float64, offset: Float64) -> Mounted:
        """Feedback straight to joint values, for motors mounted with `sign` and `offset`, (n,)."""
        bias = self._heard_low.copy()
        bias[0] -= offset
        return Mounted(sign * self._heard_span / _FEEDBACK_STEPS, sign * bias)


class Mounted:
    """Feedback as the joints have it: a factor and a bias, (3, n)."""

    def __init__(self, factor: Float64, bias: Float64) -> None:
        self._factor, self._bias = factor, bias

    def states(self, words: Words, places: Places | slice) -> tuple[Float64, Words]:
        """Payloads as numbers, of the motors at `places`.

        Rows (3, n): position, velocity, torque of their joints; and the conditions (n,).
        """
        states = _feedback_fields(words) * self._factor[:, places]
        states += self._bias[:, places]
        return states, words >> _CONDITION


def _feedback_fields(words: Words) -> Float64:
    return (words >> _FEEDBACK_SHIFTS & _FEEDBACK_MASKS).astype(np.float64)
