"""Every CAN adapter that python-can knows: channel "slcan:/dev/ttyACM0", "pcan:PCAN_USBBUS1", ...

Each frame costs a Python object more than on SocketCAN: prefer a kernel interface if there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neon_edge.clock import Clock
from neon_edge.config import CanBus
from neon_edge.errors import BusFailed, DeviceMissing
from neon_edge.transport.bus import BusCounters, Tap
from neon_edge.transport.protocol.socketcan import encode_frame
from neon_edge.types import BusFrame

SEND_S = 0.002


class PythonCanBus:
    """A python-can bus. Made by `open_python_can`."""

    def __init__(self, name: str, channel: str, bus: Any, clock: Clock) -> None:
        self.name = name
        self.counters = BusCounters()
        self.tap: Tap | None = None
        self._channel = channel
        self._bus = bus
        self._clock = clock

    def send(self, frames: Sequence[BusFrame]) -> int:
        """Send in order; stop at the first frame that the adapter refuses for 2 ms."""
        import can

        for sent, frame in enumerate(frames):
            try:
                self._bus.send(_message(frame), timeout=SEND_S)
            except can.CanOperationError as failure:
                if "buffer full" not in str(failure).lower():
                    raise self._failed(failure) from failure
                self.counters.queue_full += 1
                self.counters.frames_dropped += len(frames) - sent
                self.counters.frames_sent += sent
                return sent
            self._tell(True, frame)
        self.counters.frames_sent += len(frames)
        return len(frames)

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
                    self.counters.error_frames += 1
                else:
                    frames.append(_frame(message))
                    self._tell(False, frames[-1])
                message = self._bus.recv(timeout=0)
        except can.CanOperationError as failure:
            raise self._failed(failure) from failure
        self.counters.frames_received += len(frames)
        return frames

    def close(self) -> None:
        """Let go of the adapter."""
        self._bus.shutdown()

    def _failed(self, failure: Exception) -> BusFailed:
        return BusFailed(
            f"bus {self.name!r} failed",
            f"channel {self._channel}: {failure}",
            "check the adapter, the cable and the motors' power; then start again",
        )


def open_python_can(config: CanBus, clock: Clock) -> PythonCanBus:
    """Open "INTERFACE:CHANNEL". Raises `DeviceMissing` when it cannot be."""
    interface, _, channel = config.channel.partition(":")
    try:
        import can

        bus = can.Bus(interface=interface, channel=channel, bitrate=config.bit_rate, fd=config.fd)
    except ImportError as failure:
        raise DeviceMissing(
            f"bus {config.name!r} needs python-can", str(failure), "pip install 'neon-edge[can]'"
        ) from failure
    except (can.CanError, OSError, ValueError) as failure:
        raise DeviceMissing(
            f"bus {config.name!r} cannot be opened",
            f"channel {config.channel}: {failure}",
            "check the adapter's name, and that nothing else has it open",
        ) from failure
    return PythonCanBus(config.name, config.channel, bus, clock)


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
