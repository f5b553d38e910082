"""One master a CAN bus: whoever commands its motors holds its channel until it closes it or dies.

SocketCAN lets any number of programs send on one interface; a serial line is opened exclusively.
The lock is a name in Linux's abstract socket namespace: like the interfaces themselves it belongs
to the network namespace, all users meet there, and the kernel takes it back from the dead.
"""

from __future__ import annotations

import hashlib
import socket

from neon_edge.config import CanBus
from neon_edge.errors import DeviceMissing


def hold_bus(bus: CanBus) -> socket.socket:
    """Hold it until the returned socket is closed. Raises `DeviceMissing` where another does."""
    # A name may have 107 bytes, and a channel may be a path.
    digest = hashlib.sha256(bus.channel.encode()).hexdigest()
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        held.bind(f"\0neon-edge-bus-{digest}")
    except OSError as failure:
        held.close()
        raise DeviceMissing(
            f"another process commands the motors of bus {bus.name!r}",
            f"channel {bus.channel}: {failure.strerror}",
            "end it first: neon-edge stop --end; without a supervisor, neon-edge stop says whom",
        ) from None
    return held
