"""All MIT commands of a bus in one go: the same bytes as `damiao.encode_command`, for a tick."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from neon_edge.transport.protocol.damiao import FRAME_BYTES, KD_MAX, KP_MAX, Ranges

Float64 = npt.NDArray[np.float64]

_SHIFTS = np.array([[48], [36], [24], [12], [0]], np.uint64)
_STEPS = np.array([[65535.0], [4095.0], [4095.0], [4095.0], [4095.0]])
_SPECIAL = np.uint64(0xFFFF_FFFF_FFFF_FF)

_FEEDBACK_ROWS = [0, 1, 4]
_FEEDBACK_SHIFTS = np.array([[40], [28], [16]], np.uint64)
_FEEDBACK_MASKS = np.array([[0xFFFF], [0xFFF], [0xFFF]], np.uint64)
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
        self._told_low, self._told_span = self.low[_FEEDBACK_ROWS], self._span[_FEEDBACK_ROWS]
        self._everyone = list(range(n))

    def encode(self, rows: Float64) -> list[bytes]:
        """Rows (5, n) in SI units at the motors, to n payloads of eight bytes.

        Raises `ValueError` for what is not finite or out of range, before any byte is made.
        """
        if not bool(((rows >= self.low) & (rows <= self.high)).all()):
            raise ValueError(f"command outside the motors' ranges or not finite: {rows.tolist()}")
        # The order of operations is the published one: truncation makes the last bit depend on it.
        fields = ((rows - self.low) / self._span * _STEPS).astype(np.uint64)
        words = np.bitwise_or.reduce(fields << _SHIFTS, axis=0)
        if bool((words >> np.uint64(8) == _SPECIAL).any()):
            raise ValueError("a command's bytes would be taken for a special frame")
        packed = words.astype(">u8").tobytes()
        return [packed[i : i + FRAME_BYTES] for i in range(0, len(packed), FRAME_BYTES)]

    def decode(
        self, payloads: Sequence[bytes], places: Sequence[int]
    ) -> tuple[list[tuple[float, float, float]], list[int]]:
        """Feedback frames of the motors at `places`: (position, velocity, torque) and conditions.

        The same numbers as `damiao.decode_feedback`, eight bytes each.
        """
        words = np.frombuffer(b"".join(payloads), ">u8").astype(np.uint64)
        fields = (words >> _FEEDBACK_SHIFTS & _FEEDBACK_MASKS).astype(np.float64)
        whole = len(places) == self.low.shape[1] and list(places) == self._everyone
        low, span = self._told_low, self._told_span
        if not whole:
            low, span = low[:, places], span[:, places]
        values = low + fields / _FEEDBACK_STEPS * span
        states: list[tuple[float, float, float]] = list(zip(*values.tolist(), strict=True))
        return states, (words >> np.uint64(60)).tolist()
