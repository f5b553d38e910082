"""Every fault of the table: what is done to a live robot, and what must follow."""

from __future__ import annotations

import mmap
import random
import signal
from collections.abc import Callable
from dataclasses import replace

import numpy as np

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
)
from tests.cli.live import CLOCK, wait_s

OLD_MS = float(SAFETY["features_hold_after_ms"])
NO_FEATURES = {Cause.FEATURES_OLD}
FROM_FEATURES = "features_ns"
Row = Callable[[Bed], Outcome]


def held_for_features(bed: Bed, fault: str) -> Outcome:
    """Wait for the hold that missing features bring, and judge it."""
    bed.until_stood(Rung.HOLD, cause=Cause.FEATURES_OLD)
    return judged(bed, fault, Rung.HOLD, NO_FEATURES, OLD_MS, FROM_FEATURES)


def armed_again(bed: Bed, outcome: Outcome) -> Outcome:
    """Damp is latched: it must still stand a while later; then a person arms."""
    wait_s(0.5)
    motors, so_far = bed.motors(), replace(outcome).count(bed)
    if bed.live.rows()[-1]["rung"] < Rung.DAMP:
        outcome.wrong = outcome.wrong or "left damp by itself"
    bed.live.hurt(CONTROL, signal.SIGUSR1)
    recovered(bed, outcome, "when armed")
    return before_arming(outcome, so_far, motors)


def before_arming(outcome: Outcome, so_far: Outcome, motors: str) -> Outcome:
    """What was missed `so_far`, and apart from it what came since: motors were switched on.

    That waits for them, between two ticks: what it costs is no fault's doing.
    """
    outcome.arming = outcome.missed - so_far.missed
    outcome.missed, outcome.overran = so_far.missed, so_far.overran
    outcome.kept_ms, outcome.motors = so_far.kept_ms, motors
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
    stamps = []
    # In the moment that its successor takes to start; one publication at a time, for two would be
    # refused by whoever came second.
    for place in (0, -1):
        writer = _free_writer(bed)
        pooled = np.zeros(writer.width, np.float32)
        pooled[place] = value
        now_ns = CLOCK.now_ns()
        writer.publish(pooled, now_ns, now_ns)
        writer.close()
        stamps.append(now_ns)
        wait_s(0.05)
    outcome = held_for_features(bed, f"{name} in the features")
    if np.isin(bed.rows()["features_ns"], stamps).any():
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


def powerless(family: str) -> Row:
    """A motor's supply dips: it starts again off, and forgets what guarded it."""

    def row(bed: Bed) -> Outcome:
        joint = next(j for j in bed.robot.joints if j.motor.__struct_config__.tag == family)
        since_ns = bed.mark()
        bed.body.inject(f'[[motor]]\njoint = "{joint.name}"\nwhat = "brown_out"\nat_s = 0.0\n')
        bed.until_stood(Rung.DAMP)
        causes = {Cause.JOINT_SILENT, Cause.MOTOR_FAULT}
        limit_ms = bed.robot.safety.joint_damp_after_ms + TICK_MS
        fault = f"the power of a {family} motor dips"
        outcome = judged(bed, fault, Rung.DAMP, causes, limit_ms, since_ns)
        wait_s(0.5)
        return armed_again(bed, outcome)

    return row


FAMILIES = (
    "damiao", "robstride", "odrive", "moteus", "cia402", "dynamixel", "feetech", "unitree",
)  # fmt: skip


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
    **{f"power_{family}": powerless(family) for family in FAMILIES},
    "pressed_stop": pressed_stop,
    "lost_stop": lost_stop,
}
"""Faults that a run survives: they share one."""
