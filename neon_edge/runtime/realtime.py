"""Entering real time: what cannot be had is one warning with its fix, and never a failure."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from neon_edge.config.cores import Cpus

FIFO_PRIORITY = 50
"""Below kernel threads and watchdogs (99), above everything ordinary; ros2_control's default."""

FEW_CORES = 2
"""On so few none can be kept for the tick alone."""

_MCL_CURRENT_AND_FUTURE = 1 | 2
_PR_SET_TIMERSLACK = 29


@dataclass
class RealTime:
    """What was had, for one header line, and what was not, each with its fix."""

    had: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def enter_real_time(cpus: Cpus = "any", *, lock: bool = True) -> RealTime:
    """Cores, FIFO, locked memory, a frozen heap: the calling thread's, after warm-up.

    Without `lock` memory stays as it is: a process that holds a CUDA context maps far more than
    there is room to pin.
    """
    outcome = RealTime()
    _stay_on(control_cpus(cpus), outcome)
    _schedule(outcome)
    if lock:
        _lock_memory(outcome)
    # Any thread that does run must give the interpreter back within half a millisecond.
    sys.setswitchinterval(5e-4)
    gc.collect()
    gc.freeze()
    gc.disable()
    outcome.had.append("heap frozen")
    return outcome


def control_cpus(wanted: Cpus) -> frozenset[int]:
    """The cores that the control process keeps to; none: wherever the scheduler puts it."""
    if wanted == "any":
        return frozenset()
    if wanted == "auto":
        allowed = os.sched_getaffinity(0)
        return frozenset({max(allowed)}) if len(allowed) > FEW_CORES else frozenset()
    return frozenset(wanted)


def leave_to_control(wanted: Cpus) -> None:
    """Keep this thread, and all that it will start, off the control process's cores."""
    others = os.sched_getaffinity(0) - control_cpus(wanted)
    # One that is on no other core shares them: a slow backbone is better than none.
    if others:
        os.sched_setaffinity(0, others)


@contextlib.contextmanager
def below_the_tick() -> Iterator[None]:
    """For a thread beside the loop: ahead of everything ordinary, so that nothing ordinary can keep
    it from giving the interpreter back, and behind the tick. Without the privilege, no change."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY - 1))
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _stay_on(cpus: frozenset[int], outcome: RealTime) -> None:
    if not cpus:
        return
    named = ", ".join(map(str, sorted(cpus)))
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as failure:
        outcome.warnings.append(
            f"the tick is not kept to core {named} ({failure.strerror}): name cores of this "
            "machine in the robot file's [runtime] cpus, or widen the service's AllowedCPUs="
        )
    else:
        outcome.had.append(f"core {named}" if len(cpus) == 1 else f"cores {named}")


def _schedule(outcome: RealTime) -> None:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
    except OSError as failure:
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
        outcome.had.append("timer slack 1 ns")
        outcome.warnings.append(
            f"no real-time priority ({failure.strerror}): add '@realtime - rtprio 99' to "
            "/etc/security/limits.conf, or LimitRTPRIO= to the service"
        )
    else:
        outcome.had.append(f"FIFO {FIFO_PRIORITY}")


def _lock_memory(outcome: RealTime) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT_AND_FUTURE) == 0:
        outcome.had.append("memory locked")
        return
    reason = os.strerror(ctypes.get_errno())
    outcome.warnings.append(
        f"memory is not locked ({reason}): add '@realtime - memlock unlimited' to "
        "/etc/security/limits.conf, or LimitMEMLOCK=infinity to the service"
    )
