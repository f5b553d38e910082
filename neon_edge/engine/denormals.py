"""Numbers too small to be normal count as zero while a network runs on the CPU.

A softmax over masked scores is full of them, and each one costs a core some hundred cycles, in the
softmax and again in the product behind it. The session option `session.set_denormal_as_zero` is
for worker threads alone: for the thread that calls, ONNX Runtime heeds that of the first session of
a process, for good (onnxruntime/core/session/inference_session.cc). So the caller's control word is
set here, and put back, because what else that thread computes is none of the network's business.
"""

from __future__ import annotations

import ctypes
import platform
from types import TracebackType
from typing import Any

# Which word of glibc's fenv_t is the control word, and its bits that flush results and operands:
# MXCSR's FTZ and DAZ (Intel SDM 1, 10.2.3.3), FPCR's FZ (Arm ARM, C5.2.8).
_LAYOUTS = {"x86_64": (7, 1 << 15 | 1 << 6), "aarch64": (0, 1 << 24)}
# More words than any glibc's fenv_t has.
_Environment = ctypes.c_uint32 * 16


class Flushed:
    """`with Flushed():` for the calling thread. Does nothing on a machine it does not know.

    About half a microsecond. May be entered again, by one thread at a time.
    """

    def __init__(self) -> None:
        self._maths = _maths() if platform.machine() in _LAYOUTS else None
        self._before, self._within = _Environment(), _Environment()
        if self._maths is not None:
            word, bits = _LAYOUTS[platform.machine()]
            self._maths.fegetenv(self._within)
            self._within[word] |= bits

    def __enter__(self) -> None:
        if self._maths is not None:
            self._maths.fegetenv(self._before)
            self._maths.fesetenv(self._within)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._maths is not None:
            self._maths.fesetenv(self._before)


def _maths() -> Any:
    # Called with the interpreter's lock held: giving it up would cost more than the call.
    try:
        return ctypes.PyDLL("libm.so.6")
    except OSError:
        return None
