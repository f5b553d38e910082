"""Say a sensor's readings to a robot that runs: the whole of a driver process, in one page.

    python scripts/send_sensor.py /run/neon-edge/force.sock 6     kind = "unix", shape = [6]
    python scripts/send_sensor.py 127.0.0.1:47300 9 --hz 200      kind = "udp", shape = [9]

Needs nothing but Python. Copy it, and let `measure` ask your sensor. A reading, little-endian:

     0  "NESV"                           8  u32  session, another one each time the sender starts
     4  u8   version, 1                 12  u32  sequence, one more each time
     5  u8   0, three times             16  i64  when it was measured, ns on any clock that goes on
    24  f32  the numbers, all finite, in C order of the sensor's shape
    -4  u32  CRC-32 of all bytes above
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import socket
import struct
import threading
import time
import zlib
from collections.abc import Sequence


def reading(session: int, sequence: int, at_ns: int, numbers: Sequence[float]) -> bytes:
    """One message."""
    body = struct.pack(f"<4sB3xIIq{len(numbers)}f", b"NESV", 1, session, sequence, at_ns, *numbers)
    return body + struct.pack("<I", zlib.crc32(body))


def measure(count: int) -> list[float]:
    """Made up: a slow sine. Yours here."""
    return [math.sin(time.monotonic() + place) for place in range(count)]


def main() -> None:
    """Until interrupted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("where", help="HOST:PORT, or the path of a UNIX socket")
    parser.add_argument("count", type=int, help="how many numbers")
    parser.add_argument("--hz", type=float, default=100.0)
    options = parser.parse_args()
    host, _, port = options.where.rpartition(":")
    family = socket.AF_INET if host else socket.AF_UNIX
    sender = socket.socket(family, socket.SOCK_DGRAM)
    sender.setblocking(False)
    session, sequence = int.from_bytes(os.urandom(4), "little"), 0
    due_s, never = time.monotonic(), threading.Event()
    while True:
        sequence = (sequence + 1) % (1 << 32)
        numbers = measure(options.count)
        # Nobody may be listening yet; what is not taken now is old by the next time.
        with contextlib.suppress(OSError):
            message = reading(session, sequence, time.monotonic_ns(), numbers)
            sender.sendto(message, (host, int(port)) if host else options.where)
        due_s = max(due_s + 1 / options.hz, time.monotonic())
        never.wait(due_s - time.monotonic())


if __name__ == "__main__":
    main()
