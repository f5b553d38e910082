"""Which child is started again: control disarmed, a backbone as often as it is worth it."""

from __future__ import annotations

from collections.abc import Callable

from neon_edge.clock import Clock
from neon_edge.runtime.children import FINAL, Child, ChildFailed


class Reviving:
    """`warn` is told of every death, by kind and in words. `seconds`: of the run, from now on."""

    def __init__(
        self,
        control: Child,
        backbone: Child,
        clock: Clock,
        seconds: float | None,
        warn: Callable[[str, str], None],
    ) -> None:
        self._control = control
        self._backbone = backbone
        self._clock = clock
        self._seconds = seconds
        self._begun_ns = clock.now_ns()
        self._warn = warn

    def control(self) -> bool:
        """Start a crashed control process again, disarmed. False where the run is over."""
        control = self._control
        if control.code is None:
            return True
        if control.code == 0 or control.code in FINAL:
            return False
        if control.just_died():
            self._warn(
                "control died",
                f"the control process died ({control.how}); its motors are left to their "
                "watchdogs, and it comes back disarmed",
            )
        if control.may_restart():
            left_s = self._seconds_left()
            if left_s is not None and left_s <= 0:
                return False
            control.restart("disarmed", *([] if left_s is None else [str(left_s)]))
        return not control.given_up

    def backbone(self, ticked: bool) -> None:
        """Start a dead backbone again. Raises `ChildFailed` where it never could work.

        `ticked`: whether the robot has ever moved by what it saw.
        """
        backbone = self._backbone
        if backbone.code is None:
            return
        if backbone.just_died():
            end = "; the robot holds meanwhile"
            if backbone.given_up:
                end = (
                    " and is given up: the robot holds, then damps. Mend it and start the run again"
                )
            self._warn("backbone died", f"the backbone process died ({backbone.how}){end}")
        if backbone.code in FINAL and not ticked:
            raise ChildFailed("backbone", backbone.code)
        if backbone.may_restart():
            backbone.restart()

    @property
    def status(self) -> str:
        """What is gone for good, as the end of a status line."""
        return " · backbone given up" if self._backbone.given_up else ""

    def _seconds_left(self) -> float | None:
        if self._seconds is None:
            return None
        return self._seconds - (self._clock.now_ns() - self._begun_ns) / 1e9
