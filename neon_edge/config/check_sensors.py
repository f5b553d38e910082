"""What types cannot say of sensors: that a reading fits what carries it, and comes often enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from neon_edge.config.sensors import (
    FixedSensor,
    LiveSensor,
    Sensor,
    SerialSensor,
    UdpSensor,
    UnixSensor,
)
from neon_edge.errors import ConfigWrong

AROUND = 28
"""Bytes of a message beside its numbers (transport/protocol/sealed.py)."""
MOST_BYTES = {UdpSensor: 65_507, UnixSensor: 212_960}
"""Of a datagram: what IPv4 has room for; what Linux lets a sender send who asks for nothing."""
BITS_A_BYTE = 10
"""Start and stop bit on a line."""


def check_sensors(sensors: Sequence[Sensor], rate_hz: float) -> None:
    """Raises `ConfigWrong`."""
    twice = [name for name, count in Counter(each.name for each in sensors).items() if count > 1]
    if twice:
        raise ConfigWrong(
            "sensor names must be unique", f"twice: {', '.join(sorted(twice))}", "rename one"
        )
    for sensor in sensors:
        if not isinstance(sensor, FixedSensor):
            _prompt(sensor, 2e3 / rate_hz)
            _fits(sensor)


def _prompt(sensor: LiveSensor, least_ms: float) -> None:
    if sensor.stale_after_ms < least_ms:
        raise ConfigWrong(
            "a healthy robot would hold at every tick",
            f"stale_after_ms = {sensor.stale_after_ms:g} of sensor {sensor.name!r}, "
            f"a tick is {least_ms / 2:g} ms",
            f"set it to two ticks at least, {least_ms:g}",
        )


def _fits(sensor: LiveSensor) -> None:
    size = AROUND + 4 * sensor.size
    if isinstance(sensor, SerialSensor):
        takes_ms = size * BITS_A_BYTE * 1e3 / sensor.baud
        if takes_ms > sensor.stale_after_ms:
            raise ConfigWrong(
                f"sensor {sensor.name!r} is stale before it is heard",
                f"{size} bytes take {takes_ms:.0f} ms at {sensor.baud} baud, "
                f"stale_after_ms = {sensor.stale_after_ms:g}",
                "raise baud or stale_after_ms, or use kind = 'unix'",
            )
        return
    most = MOST_BYTES[type(sensor)]
    if size > most:
        raise ConfigWrong(
            f"a reading of sensor {sensor.name!r} is too large for one datagram",
            f"shape {sensor.shape} takes {size} bytes, {most} at most",
            "kind = 'unix' carries 212960; for more, build heads with a smaller sensor",
        )
