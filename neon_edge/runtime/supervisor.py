"""The supervisor: starts the two children, restarts a dead backbone, drains the rings, reports.

It never arms anything and is never waited for: the control process goes on without it.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np

from neon_edge.clock import Clock, MonotonicClock
from neon_edge.config import RobotConfig
from neon_edge.engine.manifest import Manifest
from neon_edge.features.slot import create_slot
from neon_edge.runtime import report as reports
from neon_edge.runtime.arming import Arming
from neon_edge.runtime.board import board
from neon_edge.runtime.children import FINAL, FINAL_ONCE_RUNNING, RESTARTS, STOP_AFTER_S, Child
from neon_edge.runtime.conversation import UNREAD, Conversation, unread
from neon_edge.runtime.events import EventLog, LadderEvents
from neon_edge.runtime.headset import admit_heads
from neon_edge.runtime.health import create_stop_flag
from neon_edge.runtime.metrics import Metrics
from neon_edge.runtime.plans import admit, find_plans
from neon_edge.runtime.recorder import Recorder
from neon_edge.runtime.report import RunReport
from neon_edge.runtime.requests import Answer, Reply
from neon_edge.runtime.sense_events import SenseEvents
from neon_edge.runtime.spec import RunSpec, read_note, write_spec
from neon_edge.runtime.swapping import Swapping
from neon_edge.runtime.systemd import Service
from neon_edge.telemetry.ring import PassRing, RingReader, TickRing
from neon_edge.types import Rung

POLL_NS = 100_000_000


class ChildFailed(Exception):
    """A child that the run needs ended with this exit code and has told why on stderr."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"the {name} process ended with exit code {code}")
        self.code = code


class Supervisor:
    """One run of one robot. `on_status` is called about ten times a second from `run`."""

    def __init__(
        self,
        spec: RunSpec,
        manifest: Manifest,
        on_status: Callable[[str], None],
        record: Path | None = None,
        metrics: Metrics | None = None,
        record_bytes: int = 0,
    ) -> None:
        self._spec = spec
        self._manifest = manifest
        self._on_status = on_status
        self._metrics = metrics
        self._clock: Clock = MonotonicClock()
        self._stopping = False
        self.warnings: list[str] = []
        self.recorded: Path | None = None
        """Where the recording is, once it is closed."""
        self._recording_lost = False
        create_stop_flag(spec.stop_flag)
        create_slot(spec.slot, manifest.backbone.pooled_width)
        TickRing.create(spec.ticks)
        PassRing.create(spec.passes)
        self._ticks = RingReader(spec.ticks)
        self._passes = RingReader(spec.passes)
        self._recorder: Recorder | None = None
        if record is not None:
            self._recorder = Recorder(spec, manifest, record, self._clock, record_bytes)
        self._path = write_spec(spec)
        self._service = Service(self._clock)
        self._events = EventLog(logging.getLogger("supervisor"), self._clock)
        self._ladder = LadderEvents(spec.robot.joint_names)
        ear = spec.robot.microphone
        eyes = [camera.name for camera in spec.robot.cameras]
        self._senses = SenseEvents(eyes, ear.name if ear else "")
        arming = Arming(spec, lambda: self.control.pid, self._rung, self._clock)
        self._swapping = Swapping(
            spec, manifest, lambda: self.control.pid, self._events, self._clock
        )
        answers = {**arming.answers, **self._swapping.answers, "end": self._end}
        self._conversation = Conversation(
            spec, manifest, self._events, self._clock, answers, self._swapping.told
        )
        if not manifest.backbone.reads:
            self._warn("instruction", f"{UNREAD}: {unread(manifest.backbone)}")

    def run(self) -> RunReport:
        """Both children until the control process ends. Raises `ChildFailed` where it fails."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        begun_ns = self._clock.now_ns()
        self.control = control = Child("control", self._path, self._clock)
        self.backbone = backbone = Child("backbone", self._path, self._clock, FINAL_ONCE_RUNNING)
        try:
            while control.code is None or self._revive_control(begun_ns):
                if self._stopping:
                    self._service.stopping(self._stop_takes_s())
                    control.terminate()
                self._revive_backbone()
                self._drain()
                self._look(self._status())
                self._clock.sleep_until_ns(self._clock.now_ns() + POLL_NS)
        finally:
            self._service.stopping()
            for child in (control, backbone):
                child.end()
            self._drain()
            self._stop_recording()
            self._conversation.close()
            self._service.close()
        # Asked to stop before it could listen, it had nothing to stop.
        unheard = self._stopping and control.code == -signal.SIGTERM
        if control.code and not unheard:
            raise ChildFailed("control", control.code)
        return self.report()

    def _rung(self) -> Rung | None:
        newest = self._ticks.newest(1)
        return Rung(int(newest["rung"][0])) if len(newest) else None

    def _stop_takes_s(self) -> float:
        robot = self._spec.robot
        if robot.stop != "park" or robot.park is None:
            return 0.0
        return robot.park.timeout_s + robot.stop_s + STOP_AFTER_S

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _end(self, _: str) -> Answer:
        self._stopping = True
        return lambda: Reply(True, {"ends": self._spec.robot.stop})

    def _revive_control(self, begun_ns: int) -> bool:
        """Start a crashed control process again, disarmed. False where the run is over."""
        control = self.control
        if control.code == 0 or self._stopping or control.code in FINAL:
            return False
        if control.just_died():
            self._warn(
                "control died",
                f"the control process died ({control.how}); its motors are left to their "
                "watchdogs, and it comes back disarmed",
            )
        if control.may_restart():
            left_s = self._seconds_left(begun_ns)
            if left_s is not None and left_s <= 0:
                return False
            control.restart("disarmed", *([] if left_s is None else [str(left_s)]))
        return control.restarts < RESTARTS or control.code is None

    def _seconds_left(self, begun_ns: int) -> float | None:
        if self._spec.seconds is None:
            return None
        return self._spec.seconds - (self._clock.now_ns() - begun_ns) / 1e9

    def _revive_backbone(self) -> None:
        backbone = self.backbone
        if backbone.code is None or self._stopping:
            return
        if backbone.just_died():
            self._warn(
                "backbone died",
                f"the backbone process died ({backbone.how}); the robot holds meanwhile",
            )
        if backbone.code in FINAL and len(self._ticks.rows()) == 0:
            raise ChildFailed("backbone", backbone.code)
        if backbone.may_restart():
            backbone.restart()

    def _drain(self) -> None:
        self._swapping.look()
        ticks = self._ticks.newest(self._ticks.drain())
        passes = self._passes.newest(self._passes.drain())
        for event in (*self._ladder.seen_in(ticks), *self._senses.seen_in(passes)):
            self._events.say(event)
        if self._metrics is not None:
            self._metrics.look(ticks, passes, self._gauges())
        if self._recorder is not None:
            self._recorder.look(ticks, passes, self._events.take(), self._swapping.take())
            if self._recorder.failure and not self._recording_lost:
                self._recording_lost = True
                self._warn("recording", f"recording stopped: {self._recorder.failure}")

    def _gauges(self) -> dict[str, float]:
        return {
            "control_restarts_total": self.control.restarts,
            "backbone_restarts_total": self.backbone.restarts,
            "rows_lost_total": self._ticks.lost + self._passes.lost,
            "rows_not_recorded_total": self._recorder.dropped if self._recorder else 0,
        }

    def _stop_recording(self) -> None:
        if self._recorder is None:
            return
        self._recorder.close()
        if self._recorder.failure:
            return
        self.recorded = self._recorder.path
        if self._recorder.dropped:
            self._warn("recording", f"{self._recorder.dropped} rows were not recorded")

    def _warn(self, kind: str, text: str) -> None:
        self.warnings.append(text)
        self._events.warn(kind, text)

    def _look(self, status: str) -> None:
        note = read_note(self._spec.control_log)
        state = note.state if note else "starting"
        self._service.look(state, self._ticks.seen, status)
        self._conversation.look(state, self._ticks.seen, status)
        self._on_status(status)

    def _status(self) -> str:
        recent = self._ticks.newest(250)
        if len(recent) == 0:
            return "starting"
        late = np.percentile(recent["start_ns"] - recent["due_ns"], 99) / 1e6
        age = (int(recent["start_ns"][-1]) - int(recent["features_ns"][-1])) / 1e6
        seen = "none yet" if recent["features_ns"][-1] == 0 else f"{age:.0f} ms old"
        return (
            f"{reports.rate(recent):.1f} Hz · lateness p99 {late:.2f} ms · features {seen} · "
            f"{reports.missed(self._ticks.rows())} missed{self._senses.status}"
        )

    @property
    def enabling(self) -> int:
        """Joint commands that enabling the motors took."""
        note = read_note(self._spec.control_log)
        return note.enabling if note else 0

    def report(self) -> RunReport:
        """The run so far."""
        ticks, passes = self._ticks.rows(), self._passes.rows()
        note = read_note(self._spec.control_log)
        return RunReport(
            robot=self._spec.robot.name,
            board=board(self._manifest),
            real_time=note.real_time if note else [],
            ticks=len(ticks),
            missed=reports.missed(ticks),
            clipped=int((ticks["clipped"] > 0).sum()),
            stale=reports.held(ticks),
            scaled=reports.scaled(ticks),
            causes=reports.causes(ticks),
            rate_hz=reports.rate(ticks),
            lateness_us=reports.lateness(ticks),
            stages_us=reports.stages(ticks, passes),
            feature_age_ms=reports.feature_age(ticks),
            joint_age_ms=reports.joint_age(ticks),
            backbone_passes=len(passes),
            features_hz=reports.features_rate(passes),
            control_restarts=self.control.restarts,
            backbone_restarts=self.backbone.restarts,
            joint_commands_sent=int(ticks["sent"].sum()),
            joint_commands_received=None,
            base_commands_sent=note.base.get("sent", 0) if note else 0,
            rows_lost=self._ticks.lost + self._passes.lost,
            features_refused={
                "torn": note.torn if note else 0,
                "foreign": note.foreign if note else 0,
                "not_finite": note.not_finite if note else 0,
            },
            warnings=self.warnings + self._senses.warnings + (note.warnings if note else []),
        )


def prepare(
    robot: RobotConfig, directory: Path, seconds: float | None, threads: int
) -> tuple[RunSpec, Manifest]:
    """Find and admit the robot's plans before any process starts. Raises `ConfigWrong`."""
    plans = find_plans(robot.engines)
    manifest = admit(plans, robot)
    spec = RunSpec(
        robot=robot,
        plans=str(plans),
        heads=admit_heads(robot, plans, manifest),
        directory=str(directory),
        seconds=seconds,
        backbone_threads=threads,
    )
    return spec, manifest
