"""One stream of something that FFmpeg opened, decoded by a thread of the backbone process.

Decoding happens in native code that leaves the interpreter to the backbone. The tick is in another
process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal

from neon_edge.capture.clip import load_av


class LiveSource:
    """Hands every whole frame of `container`'s first `kind` of stream to `take`, in the thread.

    What cannot be decoded, or only in part, is left out and counted in `damaged`. `ended` says why
    nothing more will come, once it does.
    """

    def __init__(
        self,
        name: str,
        container: Any,
        kind: Literal["video", "audio"],
        take: Callable[[Any], None],
    ) -> None:
        self._container = container
        self._kind = kind
        self._take = take
        self._invalid: type[Exception] = load_av().InvalidDataError
        self._stopping = False
        self._first = threading.Event()
        self.damaged = 0
        self.ended: str | None = None
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)
        self._thread.start()

    def await_first(self, patience_s: float) -> None:
        """Return when a frame was taken, when none ever will be, or after so long."""
        self._first.wait(patience_s)

    def await_end(self, patience_s: float) -> None:
        """Return when nothing more will come, or after so long."""
        self._thread.join(patience_s)

    def close(self) -> None:
        """Stop reading. A read that the device never answers is left to the process's end."""
        self._stopping = True
        self._thread.join(timeout=1.0)
        if not self._thread.is_alive():
            self._container.close()

    def _read(self) -> None:
        try:
            for packet in self._container.demux(**{self._kind: 0}):
                for frame in self._whole(packet):
                    self._take(frame)
                    self._first.set()
                if self._stopping:
                    return
            self.ended = "the source has ended"
        except Exception as failure:  # whatever it was, the device is gone
            self.ended = str(failure) or type(failure).__name__
        finally:
            self._first.set()

    def _whole(self, packet: Any) -> list[Any]:
        try:
            frames = packet.decode()
        except self._invalid:
            self.damaged += 1
            return []
        # Decoders paint over what was lost on the way and say so: nothing of now.
        whole = [frame for frame in frames if not frame.is_corrupt]
        self.damaged += len(frames) - len(whole)
        return whole
