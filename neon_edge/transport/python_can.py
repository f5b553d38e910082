"""Every CAN adapter that python-can knows: channel "slcan:/dev/ttyACM0", "pcan:PCAN_USBBUS1", ...

Each frame costs a Python object more than on SocketCAN: prefer a kernel interface if there is one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from neon_edge.clock import Clock
from neon_edge.config import CanBus
from neon_edge.errors import BusFailed, DeviceMissing
from neon_edge.transport.bus import BusCounters, Tap
from neon_edge.transport.load import FD_DATA_RATE
from neon_edge.transport.protocol.socketcan import BUS_OFF, encode_frame
from neon_edge.types import BusFrame

SEND_S = 0.002
GONE_NS = 100_000_000
"""Adapters tell a full queue and a dead controller by one exception, each in words of its own: what
takes no frame for this long is dead."""
SAMPLE_POINT = 66.6
"""Per cent of a bit, in both phases of an FD frame: mjbots/moteus docs, "CAN-FD"."""
CLOCKS_HZ = (80_000_000, 40_000_000)


class PythonCanBus:
    """A python-can bus. Made by `open_python_can`."""

    def __init__(self, name: str, channel: str, bus: Any, clock: Clock) -> None:
        self.name = name
        self.counters = BusCounters()
        self.tap: Tap | None = None
        self._channel = channel
        self._bus = bus
        self._clock = clock
        self._taken_ns = clock.now_ns()

    def send(self, frames: Sequence[BusFrame]) -> int:
        """Send in order; stop at the first frame that the adapter refuses for 2 ms."""
        import can

        for sent, frame in enumerate(frames):
            try:
                self._bus.send(_message(frame), timeout=SEND_S)
            except can.CanError as failure:
                self._refused(failure, sent)
                self.counters.frames_dropped += len(frames) - sent
                return sent
            except OSError as failure:
                raise self._failed(failure) from failure
            self._tell(True, frame)
        self._taken_ns = self._clock.now_ns()
        self.counters.frames_sent += len(frames)
        return len(frames)

    def _refused(self, failure: Exception, sent: int) -> None:
        self.counters.queue_full += 1
        self.counters.frames_sent += sent
        now_ns = self._clock.now_ns()
        if sent:
            self._taken_ns = now_ns
        elif now_ns - self._taken_ns > GONE_NS:
            raise self._failed(failure) from failure

    def _tell(self, sent: bool, frame: BusFrame) -> None:
        if self.tap is not None:
            self.tap(self.name, sent, encode_frame(frame))

    def receive_ready(self) -> list[BusFrame]:
        """Everything the adapter holds for us."""
        return self._drain(0.0)

    def receive_until(self, deadline_ns: int) -> list[BusFrame]:
        """Wait for the next frames, at most until `deadline_ns`."""
        return self._drain(max(0.0, (deadline_ns - self._clock.now_ns()) / 1e9))

    def _drain(self, wait_s: float) -> list[BusFrame]:
        import can

        frames: list[BusFrame] = []
        try:
            message = self._bus.recv(timeout=wait_s)
            while message is not None:
                if message.is_error_frame:
                    self._count_error(message)
                else:
                    frames.append(_frame(message))
                    self._tell(False, frames[-1])
                message = self._bus.recv(timeout=0)
        except (can.CanError, OSError) as failure:
            raise self._failed(failure) from failure
        self.counters.frames_received += len(frames)
        return frames

    def _count_error(self, message: Any) -> None:
        self.counters.error_frames += 1
        # Adapters that report errors at all report them as the kernel does.
        if message.arbitration_id & BUS_OFF:
            raise self._failed(OSError("the controller went bus-off"))

    def close(self) -> None:
        """Let go of the adapter."""
        self._bus.shutdown()

    def _failed(self, failure: Exception) -> BusFailed:
        return BusFailed(
            f"bus {self.name!r} failed",
            f"channel {self._channel}: {failure}",
            "check the adapter, the cable and the motors' power; then start again",
        )


def interfaces() -> list[str]:
    """What a channel may begin with; nothing where python-can is not installed."""
    try:
        import can
    except ImportError:
        return []
    return sorted(can.VALID_INTERFACES)


def open_python_can(config: CanBus, clock: Clock) -> PythonCanBus:
    """Open "INTERFACE:CHANNEL". Raises `DeviceMissing` when it cannot be."""
    interface, _, channel = config.channel.partition(":")
    try:
        import can

        bus = can.Bus(
            interface=interface, channel=channel, bitrate=config.bit_rate, **_flexible(config)
        )
    except ImportError as failure:
        raise DeviceMissing(
            f"bus {config.name!r} needs python-can", str(failure), "pip install 'neon-edge[can]'"
        ) from failure
    except (can.CanError, OSError, ValueError, NotImplementedError) as failure:
        raise DeviceMissing(
            f"bus {config.name!r} cannot be opened",
            f"channel {config.channel}: {failure}",
            "check the adapter's name, and that nothing else has it open",
        ) from failure
    return PythonCanBus(config.name, config.channel, bus, clock)


def _flexible(config: CanBus) -> dict[str, Any]:
    """What an FD bus needs on top: some adapters take a data rate, others a whole bit timing."""
    if not config.fd:
        return {"fd": False}
    import can

    for clock_hz in CLOCKS_HZ:
        with contextlib.suppress(ValueError):
            timing = can.BitTimingFd.from_sample_point(
                clock_hz, config.bit_rate, SAMPLE_POINT, FD_DATA_RATE, SAMPLE_POINT
            )
            return {"fd": True, "data_bitrate": FD_DATA_RATE, "timing": timing}
    raise ValueError(f"no bit timing for {config.bit_rate} and {FD_DATA_RATE} bit/s")


def _message(frame: BusFrame) -> Any:
    import can

    return can.Message(
        arbitration_id=frame.arbitration_id,
        data=frame.payload,
        is_extended_id=frame.extended,
        is_fd=frame.fd,
        bitrate_switch=frame.bit_rate_switch,
        is_remote_frame=frame.remote,
    )


def _frame(message: Any) -> BusFrame:
    return BusFrame(
        message.arbitration_id,
        bytes(message.data or b""),
        message.is_extended_id,
        message.is_fd,
        message.bitrate_switch,
        message.is_remote_frame,
    )
