"""Faults that end a process, a run or a recording."""

from __future__ import annotations

import os
import resource
import signal
from dataclasses import replace

import numpy as np

from neon_edge.config import DynamixelMotor
from neon_edge.safety.watch import Cause
from neon_edge.types import Rung
from tests.bench.fault_bed import BACKBONE, CONTROL, Bed, Outcome, recovered, settled
from tests.bench.fault_rows import OLD_MS, before_arming, held_for_features
from tests.cli.live import CLOCK, wait_s


def bus_off(bed: Bed) -> Outcome:
    bed.body.inject('[[bus_off]]\nbus = "waist"\nat_s = 0.1\n')
    return ended(bed, "bus off", 74)


def unplugged(bed: Bed) -> Outcome:
    os.kill(bed.body.pid, signal.SIGKILL)
    outcome = ended(bed, "every bus vanishes (SIGKILL of the motors)", 74)
    outcome.motors = "gone"
    return outcome


def ended(bed: Bed, fault: str, code: int) -> Outcome:
    """The run ends with this exit code, and no motor of a living bus pulls."""
    directory = bed.live.directory
    rows = bed.live.rows()
    found, _, said = bed.live.end()
    wrong = "" if found == code else f"exit code {found}: {said[-1500:]}"
    if directory.exists():
        wrong = wrong or "the run left its directory behind"
    missed = int((np.diff(rows["number"]) - 1).clip(0).sum())
    wait_s(0.5)
    return Outcome(fault, missed, f"exit {code}", None, None, 0, "by a person", bed.motors(), wrong)


def full_disk(bed: Bed) -> Outcome:
    """`bed` records; from now on its file may grow by next to nothing (EFBIG for ENOSPC)."""
    limit = next(bed.place.glob("*.part")).stat().st_size + 4096
    bed.mark()
    resource.prlimit(bed.live.run.pid, resource.RLIMIT_FSIZE, (limit, limit))
    wait_s(4)
    outcome = Outcome("disk full while recording", 0, "run", None, None, 0, "", "")
    if bed.rows()[-1]["rung"] > Rung.SCALE:
        outcome.wrong = "the robot does not move"
    outcome = settled(bed, outcome)
    bed.live.run.terminate()
    code, _, said = bed.live.end()
    outcome.recovery = "runs on; one warning"
    if code != 0 or said.count("supervisor: warning: recording stopped") != 1:
        outcome.wrong = f"exit code {code}: {said[-300:]}"
    return outcome


def killed_backbone(bed: Bed, kills: int) -> Outcome:
    """Killed as often as that, each time when it has brought the robot back."""
    outcome = Outcome("backbone killed", 0, "", OLD_MS, None, 0, "", "")
    for _ in range(kills):
        since = bed.mark()
        bed.live.hurt(BACKBONE, signal.SIGKILL)
        worst = outcome
        outcome = held_for_features(bed, "backbone killed (SIGKILL)")
        outcome = recovered(bed, outcome)
        outcome.recovery = f"by itself, {(CLOCK.now_ns() - since) / 1e9:.1f} s at most"
        outcome = _graver(worst, outcome)
    return outcome


def _graver(one: Outcome, other: Outcome) -> Outcome:
    """The later of two, with the misses and the mistakes of both."""
    later, sooner = (other, one) if (other.took_ms or 0) >= (one.took_ms or 0) else (one, other)
    later.add(sooner)
    later.wrong = one.wrong or other.wrong
    later.recovery, later.motors = other.recovery, other.motors
    return later


def killed_control(bed: Bed, kills: int) -> Outcome:
    """Motors are left to their watchdogs; it comes back disarmed, and a person arms it."""
    limit_ms = max(float(joint.motor.watchdog_ms) for joint in bed.robot.joints)
    # A Dynamixel's watchdog stops it where it is, and there it holds.
    watched = [
        joint.motor.watchdog_ms > 0 and not isinstance(joint.motor, DynamixelMotor)
        for joint in bed.robot.joints
    ]
    outcome = Outcome("control process killed (SIGKILL)", 0, "watchdogs", limit_ms, 0.0, 0, "", "")
    for _ in range(kills):
        bed.mark()
        bed.live.hurt(CONTROL, signal.SIGKILL)
        struck_ns = CLOCK.now_ns()
        while any(
            what == "holds" for what, has in zip(bed.body.drives(), watched, strict=True) if has
        ):
            if CLOCK.now_ns() - struck_ns > 5_000_000_000:
                outcome.wrong = "a motor with a watchdog still holds"
                break
            wait_s(0.002)
        took_ms = (CLOCK.now_ns() - struck_ns) / 1e6
        outcome.took_ms = max(outcome.took_ms or 0.0, took_ms)
        motors = bed.motors()
        off = bed.live.until(Rung.OFF, 60)
        if off["cause"] != Cause.DISARMED or off["sent"]:
            outcome.wrong = "it did not come back disarmed"
        so_far = replace(outcome).count(bed)
        bed.live.hurt(CONTROL, signal.SIGUSR1)
        kill = recovered(bed, replace(outcome, arming=0), "comes back disarmed; when armed")
        before_arming(kill, so_far, motors).add(outcome)
        outcome = kill
    return outcome


def killed_supervisor(bed: Bed, seconds: float = 2.0) -> Outcome:
    """Its robot goes on: commands arrive at every motor, every tick."""
    before = int(bed.body.received().sum())
    bed.mark()
    begun_ns = CLOCK.now_ns()
    bed.live.run.kill()
    bed.live.run.wait()
    wait_s(seconds)
    rows = bed.rows()
    arrived = int(bed.body.received().sum()) - before
    ticks = int((rows["start_ns"] > begun_ns).sum())
    outcome = Outcome("supervisor killed (SIGKILL)", bed.missed(), "run", None, None, 0, "", "")
    outcome.count(bed)
    joints = len(bed.robot.joints)
    if arrived < joints * (ticks - 2) or ticks < seconds / 2 * bed.robot.rate_hz:
        outcome.wrong = f"{arrived} commands arrived in {ticks} ticks"
    if rows[-1]["rung"] > Rung.SCALE:
        outcome.wrong = f"stands on {Rung(int(rows[-1]['rung'])).name.lower()}"
    outcome.motors, outcome.recovery = bed.motors(), "nothing to recover: it goes on"
    return outcome
