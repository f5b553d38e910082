"""Every fault of the table: what is done to a live robot, and what must follow."""

from __future__ import annotations

import mmap
import os
import random
import resource
import signal
from collections.abc import Callable

import numpy as np

from neon_edge.config import DynamixelMotor
from neon_edge.errors import UsageWrong
from neon_edge.features.slot import SlotWriter
from neon_edge.runtime.health import press_stop
from neon_edge.safety.watch import Cause
from neon_edge.types import Rung
from tests.bench.fault_bed import (
    BACKBONE,
    CONTROL,
    SAFETY,
    TICK_MS,
    Bed,
    Outcome,
    judged,
    recovered,
    settled,
)
from tests.cli.live import CLOCK, wait_s

OLD_MS = float(SAFETY["features_hold_after_ms"])
NO_FEATURES = {Cause.FEATURES_OLD}
FROM_FEATURES = "features_ns"
Row = Callable[[Bed], Outcome]


def held_for_features(bed: Bed, fault: str) -> Outcome:
    """Wait for the hold that missing features bring, and judge it."""
    bed.until_stood(Rung.HOLD)
    return judged(bed, fault, Rung.HOLD, NO_FEATURES, OLD_MS, FROM_FEATURES)


def armed_again(bed: Bed, outcome: Outcome) -> Outcome:
    """Damp is latched: it must still stand a while later; then a person arms."""
    wait_s(0.5)
    motors, missed = bed.motors(), bed.missed()
    if bed.live.rows()[-1]["rung"] < Rung.DAMP:
        outcome.wrong = outcome.wrong or "left damp by itself"
    bed.live.hurt(CONTROL, signal.SIGUSR1)
    recovered(bed, outcome, "when armed")
    # Switching motors on waits for them, between two ticks: what that costs is no fault's doing.
    outcome.motors, outcome.missed = motors, missed
    return outcome


def stopped_backbone(bed: Bed) -> Outcome:
    bed.live.hurt(BACKBONE, signal.SIGSTOP)
    outcome = held_for_features(bed, "backbone stopped (SIGSTOP)")
    bed.live.hurt(BACKBONE, signal.SIGCONT)
    return recovered(bed, outcome)


def corrupted_slot(bed: Bed) -> Outcome:
    """Random bytes over every place of the slot, for as long as nobody writes it."""
    bed.live.hurt(BACKBONE, signal.SIGSTOP)
    outcome = held_for_features(bed, "feature slot overwritten")
    seen = int(bed.live.rows()[-1]["features_ns"])
    chance = random.Random(0)
    with (bed.live.directory / "features.slot").open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
        for _ in range(400):
            mapped[chance.randrange(24, len(mapped))] = chance.randrange(256)
            wait_s(0.002)
        mapped.close()
    if int(bed.live.rows()[-1]["features_ns"]) != seen:
        outcome.wrong = "a corrupted slot was believed"
    bed.live.hurt(BACKBONE, signal.SIGCONT)
    return recovered(bed, outcome)


def poisoned_features(bed: Bed, value: float, name: str) -> Outcome:
    """Features whose checksums are right and whose numbers are not, as a wild backbone's."""
    bed.live.hurt(BACKBONE, signal.SIGKILL)
    seen = 0
    # In the moment that its successor takes to start; one publication at a time, for two would be
    # refused by whoever came second.
    for place in (0, -1):
        writer = _free_writer(bed)
        seen = seen or int(bed.live.rows()[-1]["features_ns"])
        pooled = np.zeros(writer.width, np.float32)
        pooled[place] = value
        now_ns = CLOCK.now_ns()
        writer.publish(pooled, now_ns, now_ns)
        writer.close()
        wait_s(0.05)
    outcome = held_for_features(bed, f"{name} in the features")
    rows = bed.rows()
    believed = rows["features_ns"][rows["rung"] == Rung.HOLD]
    if (believed > seen).any():
        outcome.wrong = f"features with {name} were believed"
    return recovered(bed, outcome)


def _free_writer(bed: Bed) -> SlotWriter:
    """The slot, as soon as the kernel has taken it from the dead."""
    while True:
        try:
            return SlotWriter(bed.live.directory / "features.slot", bed.model_hash)
        except UsageWrong:
            wait_s(0.005)


def error_burst(bed: Bed) -> Outcome:
    """Nothing gets through on one bus for 80 ms: on CAN, what a burst of error frames does."""
    bed.body.inject('[[wire]]\nbus = "waist"\ncorrupt = 1.0\nto_s = 0.08\n')
    bed.until_stood(Rung.HOLD)
    limit_ms = bed.robot.safety.joint_hold_after_ms
    silent = {Cause.JOINT_SILENT}
    fault = "errors on one bus for 80 ms"
    return recovered(bed, judged(bed, fault, Rung.HOLD, silent, limit_ms, "joints_ns"))


def long_error_burst(bed: Bed) -> Outcome:
    """Longer than the watchdog of that bus's motors: they have stopped themselves and say so."""
    since_ns = bed.mark()
    bed.body.inject('[[wire]]\nbus = "waist"\ncorrupt = 1.0\nto_s = 0.3\n')
    bed.until_stood(Rung.DAMP)
    fault = "errors on one bus for 300 ms"
    limit_ms = bed.robot.safety.joint_damp_after_ms + TICK_MS
    causes = {Cause.JOINT_SILENT, Cause.MOTOR_FAULT}
    outcome = judged(bed, fault, Rung.DAMP, causes, limit_ms, since_ns)
    wait_s(0.5)
    return armed_again(bed, outcome)


def silent_motor(bed: Bed) -> Outcome:
    bed.body.inject('[[motor]]\njoint = "waist_yaw"\nwhat = "mute"\nat_s = 0.0\n')
    bed.until_stood(Rung.DAMP)
    limit_ms = bed.robot.safety.joint_damp_after_ms
    silent = {Cause.JOINT_SILENT}
    outcome = judged(bed, "a motor falls silent", Rung.DAMP, silent, limit_ms, "joints_ns")
    bed.body.inject('[[motor]]\njoint = "waist_yaw"\nwhat = "speak"\nat_s = 0.0\n')
    wait_s(1.5)
    return armed_again(bed, outcome)


def slow_motor(bed: Bed) -> Outcome:
    """Answers 100 ms late: silence where it begins; from then on they come one a tick, old."""
    bed.body.inject('[[motor]]\njoint = "waist_yaw"\nwhat = "slow"\nat_s = 0.0\ndelay_ms = 100.0\n')
    bed.until_stood(Rung.HOLD)
    limit_ms = bed.robot.safety.joint_hold_after_ms
    silent = {Cause.JOINT_SILENT}
    fault = "a motor answers 100 ms late"
    outcome = recovered(bed, judged(bed, fault, Rung.HOLD, silent, limit_ms, "joints_ns"))
    bed.body.inject('[[motor]]\njoint = "waist_yaw"\nwhat = "slow"\nat_s = 0.0\ndelay_ms = 0.0\n')
    wait_s(0.5)
    return outcome


def hot_motor(bed: Bed) -> Outcome:
    since_ns = bed.mark()
    bed.body.inject('[[motor]]\njoint = "left_knee"\nwhat = "overheat"\nat_s = 0.0\n')
    bed.until_stood(Rung.DAMP)
    fault = {Cause.MOTOR_FAULT}
    # Strike, answer, read: the motors look every 5 ms, and an answer is read a tick later.
    outcome = judged(bed, "a motor overheats", Rung.DAMP, fault, 25.0, since_ns)
    bed.body.inject('[[motor]]\njoint = "left_knee"\nwhat = "cool"\nat_s = 0.0\n')
    wait_s(0.5)
    return armed_again(bed, outcome)


def pressed_stop(bed: Bed) -> Outcome:
    flag = bed.live.directory / "stop.flag"
    since_ns = bed.mark()
    press_stop(flag, True)
    bed.until_stood(Rung.DAMP)
    outcome = judged(bed, "e-stop pressed", Rung.DAMP, {Cause.STOP_PRESSED}, 0.0, since_ns)
    press_stop(flag, False)
    return armed_again(bed, outcome)


def lost_stop(bed: Bed) -> Outcome:
    flag = bed.live.directory / "stop.flag"
    since_ns = bed.mark()
    flag.write_bytes(b"\xff")
    bed.until_stood(Rung.DAMP)
    outcome = judged(bed, "e-stop input lost", Rung.DAMP, {Cause.STOP_PRESSED}, 0.0, since_ns)
    press_stop(flag, False)
    return armed_again(bed, outcome)


GENTLE: dict[str, Row] = {
    "stopped_backbone": stopped_backbone,
    "corrupted_slot": corrupted_slot,
    "nan": lambda bed: poisoned_features(bed, float("nan"), "NaN"),
    "inf": lambda bed: poisoned_features(bed, float("inf"), "Inf"),
    "error_burst": error_burst,
    "long_error_burst": long_error_burst,
    "slow_motor": slow_motor,
    "silent_motor": silent_motor,
    "hot_motor": hot_motor,
    "pressed_stop": pressed_stop,
    "lost_stop": lost_stop,
}
"""Faults that a run survives: they share one."""


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
        missed = outcome.missed
        bed.live.hurt(BACKBONE, signal.SIGKILL)
        worst = outcome
        outcome = held_for_features(bed, "backbone killed (SIGKILL)")
        outcome = recovered(bed, outcome)
        outcome.recovery = f"by itself, {(CLOCK.now_ns() - since) / 1e9:.1f} s at most"
        outcome.missed += missed
        outcome = _graver(worst, outcome)
    return outcome


def _graver(one: Outcome, other: Outcome) -> Outcome:
    """The later of two, with the misses and the mistakes of both."""
    later = other if (other.took_ms or 0) >= (one.took_ms or 0) else one
    later.missed, later.wrong = other.missed, one.wrong or other.wrong
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
        bed.live.hurt(CONTROL, signal.SIGUSR1)
        missed = outcome.missed + bed.missed()
        recovered(bed, outcome, "comes back disarmed; when armed")
        outcome.motors, outcome.missed = motors, missed
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
    joints = len(bed.robot.joints)
    if arrived < joints * (ticks - 2) or ticks < seconds / 2 * bed.robot.rate_hz:
        outcome.wrong = f"{arrived} commands arrived in {ticks} ticks"
    if rows[-1]["rung"] > Rung.SCALE:
        outcome.wrong = f"stands on {Rung(int(rows[-1]['rung'])).name.lower()}"
    outcome.motors, outcome.recovery = bed.motors(), "nothing to recover: it goes on"
    return outcome
