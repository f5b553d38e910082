"""What this machine could do at best: cyclictest's measurement, in the run that is measured.

A process of its own that does nothing but wake, half a period after the control loop, with the
control process's priority, period and cores. It runs *during* the run and not before or after it,
because the backbone, the motors' traffic and the frequency governor are what makes a wake-up late;
an idle machine's figure would flatter the machine and blame the loop. Its cost is one wake-up a
period, some 20 µs. Method: rt-tests `src/cyclictest/cyclictest.c` in MODE_CLOCK_NANOSLEEP.

Run by `profile` as `python -m neon_edge.profile.probe SPEC.json`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from neon_edge.clock import MonotonicClock
from neon_edge.profile.beside import BesideSpec, origin, run_beside, wake_ups
from neon_edge.runtime.child import Stop
from neon_edge.runtime.realtime import enter_real_time
from neon_edge.telemetry.mapped import RingWriter


class WakeRing(RingWriter):
    """A row a wake-up: when it was due and when it came, ns."""

    CAPACITY = 65_536
    FIELDS = (("due_ns", "i8"), ("start_ns", "i8"))

    def add(self, due_ns: int, start_ns: int) -> None:
        """Remember a wake-up."""
        self._put(due_ns, start_ns)


def run(spec: BesideSpec, stop: Stop) -> None:
    """Wake and remember, until told to stop."""
    clock = MonotonicClock()
    with WakeRing.open_writer(Path(spec.ring)) as ring:
        # Locked as the control process is, and as cyclictest's -m does: a page fault of the probe's
        # own would be counted as the machine's lateness. It is small, and holds no CUDA context.
        enter_real_time()
        origin_ns = origin(spec, clock, stop)
        if origin_ns is None:
            return
        for wake in wake_ups(origin_ns, spec.period_ns, clock, stop):
            ring.add(wake.due_ns, wake.start_ns)


if __name__ == "__main__":
    sys.exit(run_beside("probe", run))
