"""What the emulated motors have been through, in a small file that other processes map.

    magic 8 | joints u64 | joint commands received i64 (n) | position, kp, kd f64 (n)      native
    base: velocities taken, datagrams refused, state i64 | x, y, heading, velocity (3) f64

Each value is written and read whole (aligned, eight bytes); together they are not one instant.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import numpy as np

from neon_edge.errors import DeviceMissing
from neon_edge.types import Float64, Int64

FILE_NAME = "sim.state"
READY_NAME = "sim.json"
FAULTS_NAME = "faults.toml"
BASE_CHANNEL = "[base]"
"""Among the channels by bus name: where the base listens. No TOML key can be called so."""
_HEAD = struct.Struct("=8sQ")
_MAGIC = b"neonsim3"
_BASE_BYTES = 9 * 8


class SharedState:
    """The file, mapped, as views of it, (joints,).

    `received` and `position`, and the gains `kp` and `kd` that motors pull with: none without
    torque, kd alone where they damp.
    """

    def __init__(self, path: Path, joints: int, *, create: bool) -> None:
        size = _HEAD.size + 32 * joints + _BASE_BYTES
        if create:
            path.write_bytes(_HEAD.pack(_MAGIC, joints).ljust(size, b"\0"))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        if self._map[: _HEAD.size] != _HEAD.pack(_MAGIC, joints) or len(self._map) != size:
            raise DeviceMissing(
                f"{path} is not the state of {joints} emulated joints",
                f"{len(self._map)} bytes where {size} are expected",
                "start the emulated motors again",
            )
        self.received: Int64 = np.frombuffer(self._map, np.int64, joints, _HEAD.size)
        self.position: Float64
        self.kp: Float64
        self.kd: Float64
        self.position, self.kp, self.kd = (
            np.frombuffer(self._map, np.float64, joints, _HEAD.size + 8 * joints * place)
            for place in (1, 2, 3)
        )
        end = size - _BASE_BYTES
        self.base_counts: Int64 = np.frombuffer(self._map, np.int64, 3, end)
        """Velocities taken, datagrams refused, state."""
        self.base_pose: Float64 = np.frombuffer(self._map, np.float64, 3, end + 24)
        """x m, y m, heading rad."""
        self.base_velocity: Float64 = np.frombuffer(self._map, np.float64, 3, end + 48)
        """Forward m/s, sideways m/s, turn rad/s."""
