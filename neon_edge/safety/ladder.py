"""The staleness ladder: run → scale → hold → damp → torque off, and what may lead back up.

    run ◀──▶ scale ◀──▶ hold ──▶ damp ──▶ off
     ▲                            │        │
     └──────── start(), by a person, with a ramp from the measured pose

Scale and hold end by themselves with their cause. Damp and off are latched: whatever made the robot
give up a pose must be looked at before it moves again.
"""

from __future__ import annotations

import math

from neon_edge.config import SafetyLimits
from neon_edge.safety.watch import DISARMED, RUNNING, Cause, Judgement
from neon_edge.types import Rung

NEVER = math.inf


class Ladder:
    """Turns judgements into rungs; remembers since when, and what is latched."""

    def __init__(self, limits: SafetyLimits) -> None:
        self._damp_ns = round(limits.hold_damp_after_s * 1e9) or NEVER
        self._off_ns = round(limits.damp_off_after_s * 1e9) or NEVER
        self.now = DISARMED
        """The judgement that holds."""

    def start(self, now_ns: int) -> None:
        """Back to the top: only by a person's explicit re-arming."""
        self._since_ns = now_ns
        self.now = RUNNING

    def disarm(self) -> None:
        """To the bottom, where every ladder begins: no torque until `start`."""
        self.now = DISARMED

    def step(self, judgement: Judgement, now_ns: int) -> Judgement:
        """The rung to stand on now."""
        chosen = self._escalated(judgement, now_ns)
        if chosen.rung != self.now.rung:
            self._since_ns = now_ns
        self.now = chosen
        return chosen

    def _escalated(self, judgement: Judgement, now_ns: int) -> Judgement:
        if self.now.rung is Rung.OFF:
            return self.now
        stood_ns = now_ns - self._since_ns
        if self.now.rung is Rung.DAMP:
            if self._off_ns <= stood_ns:
                return Judgement(Rung.OFF, Cause.DAMPED_TOO_LONG)
            return self.now
        held = self.now.rung is Rung.HOLD and judgement.rung is Rung.HOLD
        if held and self._damp_ns <= stood_ns:
            return Judgement(Rung.DAMP, Cause.HELD_TOO_LONG)
        return judgement
