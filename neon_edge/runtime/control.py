"""The control process: owns the bus, runs the tick, imports no torch and holds no CUDA context.

Run by the supervisor as `python -m neon_edge.runtime.control RUN.json`.
"""

from __future__ import annotations

import dataclasses
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from neon_edge.clock import Clock, MonotonicClock
from neon_edge.config import RobotConfig
from neon_edge.errors import DeviceMissing
from neon_edge.features.slot import SlotReader
from neon_edge.heads.fared import warnings_of
from neon_edge.heads.strategy import refuse_backbone
from neon_edge.runtime.arming import write_refusal
from neon_edge.runtime.child import Stop, run_child
from neon_edge.runtime.diffusion import diffusion_warnings
from neon_edge.runtime.frames import keep_frames
from neon_edge.runtime.headset import open_headset
from neon_edge.runtime.loop import Ticker, control_loop, stopping_motion
from neon_edge.runtime.observed import Observer
from neon_edge.runtime.outside import (
    await_sensors,
    hear_sensors,
    open_pulse,
    outside_warnings,
    watch_health,
)
from neon_edge.runtime.plans import admit
from neon_edge.runtime.realtime import RealTime, enter_real_time
from neon_edge.runtime.rundir import hold
from neon_edge.runtime.spec import ControlNote, RunSpec, read_note, read_spec, write_note
from neon_edge.runtime.stages import RobotStages
from neon_edge.runtime.swap_in import SwapIn
from neon_edge.runtime.unfinished import begin
from neon_edge.safety.filter import SafetyFilter
from neon_edge.telemetry.ring import TickRing
from neon_edge.transport.robot import Robot, open_robot
from neon_edge.types import Features

POLL_NS = 5_000_000


def first_features(
    slot: SlotReader, clock: Clock, stop: Stop, patience_s: float
) -> Features | None:
    """Wait for the backbone's first word: before it there is nothing to move for."""
    give_up_ns = clock.now_ns() + round(patience_s * 1e9)
    while not stop.requested:
        features = slot.latest()
        if features is not None:
            return features
        if clock.now_ns() > give_up_ns:
            raise DeviceMissing(
                "the backbone has produced no features",
                f"waited {patience_s:g} s (first_features_s); refused: {slot.foreign} of another "
                f"backbone, {slot.not_finite} not finite, {slot.torn} torn",
                "see the backbone's own messages above",
            )
        clock.sleep_until_ns(clock.now_ns() + POLL_NS)
    return None


def run(spec: RunSpec, stop: Stop, armed: bool, seconds: float | None) -> None:
    """Bring up, tick until told to stop or out of time, stop as declared.

    Not `armed`, it ticks without torque until a person arms it (SIGUSR1).
    """
    clock = MonotonicClock()
    manifest = admit(Path(spec.plans), spec.robot)
    with ExitStack() as opened:
        heads = open_headset(spec.heads, spec.robot)
        safety = SafetyFilter(spec.robot, heads.driven)
        slot = opened.enter_context(SlotReader(spec.slot, int(manifest.backbone.model_hash, 16)))
        ring = opened.enter_context(TickRing.open_writer(spec.ticks))
        before = read_note(spec.control_log)
        write_note(spec.control_log, ControlNote(state="starting"))
        first = first_features(slot, clock, stop, spec.robot.first_features_s)
        if first is None:
            return
        for head in heads.heads:
            refuse_backbone(head.strategy, first, spec.robot.rate_hz)
        sensors = hear_sensors(spec.robot, heads, clock, opened)
        if armed and not await_sensors(sensors, clock, stop):
            return
        swap = opened.enter_context(closing(SwapIn(spec, heads, clock)))
        robot = opened.enter_context(open_robot(spec.robot, clock))
        # Before any torque: a robot that stands where it must not is refused limp.
        measured, at_ns = robot.measure(), clock.now_ns()
        safety.start(measured, at_ns)
        observer = None
        if spec.record:
            observer = opened.enter_context(Observer(spec.observed, spec.robot, sensors.readings))
            observer.begun(measured, at_ns)
        limit = None if seconds is None else round(seconds * spec.robot.rate_hz)
        ticker = Ticker(spec.robot.rate_hz, clock, limit)
        stop.when_requested(lambda: setattr(ticker, "stopping", True))
        health = watch_health(spec, robot, sensors, clock, opened)
        stages = RobotStages(robot, slot, heads, safety, health, ring, clock, observer, sensors)
        stages.pulse = open_pulse(spec.robot, clock, opened)
        stages.frames = keep_frames(spec, robot, clock, opened)
        stages.told = lambda refused: write_refusal(spec.arming, refused)
        _listen(swap, stages)
        had = enter_real_time(spec.robot.runtime.cpus)
        for plan in spec.heads:
            had.warnings.extend(diffusion_warnings(plan.heads, plan.choice))
        stages.enabling = before.enabling if before is not None else 0
        begin()
        if armed and not health.stop_pressed:
            stages.arm_or_raise()
        else:
            safety.disarm()
            if observer is not None:
                observer.disarmed(measured, at_ns)
        write_note(spec.control_log, _note("running", had, slot, robot, stages.enabling))
        try:
            drive(spec.robot, robot, ticker, stages, had.warnings)
        finally:
            for head in [*swap.replaced, *heads.heads]:
                had.warnings.extend(warnings_of(head))
            had.warnings.extend(outside_warnings(stages.pulse, health.imu, sensors))
            write_note(spec.control_log, _note("stopped", had, slot, robot, stages.enabling))


def drive(
    config: RobotConfig, robot: Robot, ticker: Ticker, stages: RobotStages, warnings: list[str]
) -> None:
    """Tick to the end, and stop as declared: also where a bus or our own code has failed.

    Raises what failed, then without having taken the torque off: `open_robot` does.
    """
    broken = _failure(lambda: control_loop(ticker, stages))
    robot.ending = True
    worse = _failure(lambda: warnings.extend(stop_as_declared(config, ticker, stages)))
    for failure in (broken, worse):
        if failure is not None:
            raise failure
    robot.disable()


def _failure(attempt: Callable[[], None]) -> Exception | None:
    try:
        attempt()
    except Exception as failure:
        return failure
    return None


def stop_as_declared(robot: RobotConfig, ticker: Ticker, stages: RobotStages) -> list[str]:
    """The motion that the robot file names, before the torque goes off; warnings about it."""
    warnings, how = [], robot.stop
    if robot.park is not None and how == "park":
        stages.park(robot)
        periods = round(robot.park.timeout_s * robot.rate_hz)
        stopping_motion(ticker, stages, periods, stages.parked)
        if not stages.parked():
            warnings.append(f"not parked after {robot.park.timeout_s:g} s: it ends where it is")
        stages.parking, how = None, robot.park.then
    if how in ("hold", "damp"):
        stages.stop = how
        stopping_motion(ticker, stages, round(robot.stop_s * robot.rate_hz))
    return warnings


def _listen(swap: SwapIn, stages: RobotStages) -> None:
    """From here on the supervisor's two signals mean something; until now they are ignored."""
    swap.start()
    stages.swap = swap.look
    signal.signal(signal.SIGUSR1, lambda *_: setattr(stages, "arming", True))
    signal.signal(signal.SIGUSR2, lambda *_: swap.asked())


def _note(state: str, had: RealTime, slot: SlotReader, robot: Robot, enabling: int) -> ControlNote:
    return ControlNote(
        state=state,
        real_time=had.had,
        warnings=had.warnings,
        torn=slot.torn,
        foreign=slot.foreign,
        not_finite=slot.not_finite,
        sent=[int(count) for count in robot.counters.sent],
        enabling=enabling,
        base={} if robot.base is None else dataclasses.asdict(robot.base.counters),
    )


def main(stop: Stop) -> None:
    """RUN.json, and where it is a restart: the word disarmed, and the seconds that are left."""
    path, *rest = sys.argv[1:]
    spec = read_spec(Path(path))
    with hold(Path(spec.directory)):
        run(spec, stop, not rest, float(rest[1]) if len(rest) > 1 else spec.seconds)


if __name__ == "__main__":
    sys.exit(run_child("control", main))
