"""The supervisor: starts the two children, restarts a dead backbone, drains the rings, reports.

It never arms anything and is never waited for: the control process goes on without it, unless a
service manager kills them together.
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
from neon_edge.runtime.arming import Arming
from neon_edge.runtime.board import board
from neon_edge.runtime.children import FINAL_ONCE_RUNNING, STOP_AFTER_S, Child
from neon_edge.runtime.conversation import UNREAD, Conversation, unread
from neon_edge.runtime.events import EventLog, LadderEvents
from neon_edge.runtime.headset import admit_heads
from neon_edge.runtime.health import create_stop_flag, is_pressed
from neon_edge.runtime.metrics import Metrics
from neon_edge.runtime.plans import admit, find_plans
from neon_edge.runtime.recorder import Recorder
from neon_edge.runtime.report import RunReport, rate
from neon_edge.runtime.requests import Answer, Reply
from neon_edge.runtime.reviving import Reviving
from neon_edge.runtime.sense_events import SenseEvents
from neon_edge.runtime.spec import ControlNote, RunSpec, read_note, write_spec
from neon_edge.runtime.swapping import Swapping
from neon_edge.runtime.systemd import RUNNING, Service
from neon_edge.runtime.tally import Tally
from neon_edge.runtime.unfinished import finish, was_unfinished
from neon_edge.telemetry.ring import PassRing, RingReader, TickRing
from neon_edge.types import Rung

POLL_NS = 100_000_000


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
        self._said: list[str] = []
        """Of the control process's warnings, those that the log has."""
        self.recorded: Path | None = None
        """Where the recording is, once it is closed."""
        self._recording_lost = False
        self._crashed = was_unfinished()
        create_stop_flag(spec.stop_flag, self._crashed or spec.robot.start == "disarmed")
        create_slot(spec.slot, manifest.backbone.pooled_width, manifest.backbone.shown)
        TickRing.create(spec.ticks)
        PassRing.create(spec.passes)
        # Kept for the newest look only: whatever counts is in the tally.
        self._ticks = RingReader(spec.ticks, 2 * TickRing.CAPACITY)
        self._passes = RingReader(spec.passes, 2 * PassRing.CAPACITY)
        self._tally = Tally()
        self._recorder: Recorder | None = None
        if record is not None:
            self._recorder = Recorder(spec, manifest, record, self._clock, record_bytes)
        self._path = write_spec(spec)
        self._service = Service(self._clock)
        self._events = EventLog(logging.getLogger("supervisor"), self._clock)
        sensors = [sensor.name for sensor in spec.robot.live_sensors]
        self._ladder = LadderEvents(spec.robot.joint_names, sensors)
        ear = spec.robot.microphone
        eyes = [camera.name for camera in spec.robot.cameras]
        self._senses = SenseEvents(eyes, ear.name if ear else "")
        arming = Arming(spec, self._tell_control, self._rung, self._clock)
        self._swapping = Swapping(spec, manifest, self._tell_control, self._events, self._clock)
        answers = {**arming.answers, **self._swapping.answers, "end": self._end}
        self._conversation = Conversation(
            spec, manifest, self._events, self._clock, answers, self._told
        )
        if not manifest.backbone.reads:
            self._warn("instruction", f"{UNREAD}: {unread(manifest.backbone)}")

    def run(self) -> RunReport:
        """Both children until the control process ends. Raises `ChildFailed` where it fails."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        # Children inherit this: what is asked of one that does not listen yet must not kill it.
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        if self._crashed:
            self._warn(
                "crashed before",
                "the run before this one crashed, or ended with its stop pressed: this one comes "
                "up without torque and waits for neon-edge arm",
            )
        self.control = control = Child("control", self._path, self._clock)
        self.backbone = backbone = Child("backbone", self._path, self._clock, FINAL_ONCE_RUNNING)
        seconds = self._spec.seconds
        self._reviving = reviving = Reviving(control, backbone, self._clock, seconds, self._warn)
        try:
            while control.code is None or (not self._stopping and reviving.control()):
                if self._stopping:
                    self._service.stopping(self._stop_takes_s())
                    control.terminate()
                else:
                    reviving.backbone(len(self._ticks.rows()) > 0)
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
            raise control.failure()
        # A stop that a person pressed is still pressed when the service is started anew.
        if not is_pressed(self._spec.stop_flag):
            finish()
        return self.report()

    def _tell_control(self, number: int) -> bool:
        """Send it a signal; False where it is dead or not there yet to be told."""
        return self._state() == RUNNING and self.control.send(number)

    def _state(self) -> str:
        note = read_note(self._spec.control_log)
        return note.state if note is not None and note.pid == self.control.pid else "starting"

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

    def _drain(self) -> None:
        self._swapping.look()
        ticks = self._ticks.newest(self._ticks.drain())
        passes = self._passes.newest(self._passes.drain())
        self._tally.add(ticks, passes)
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
        state = self._state()
        if state == RUNNING:
            self._say_warnings()
        # Nobody brings a dead control process back sooner than we do, engines and all.
        waiting = state != RUNNING and self.control.coming_up
        self._service.look(state, self._ticks.seen, status, waiting)
        self._conversation.look(state, self._ticks.seen, status)
        self._on_status(status)

    def _say_warnings(self) -> None:
        note = read_note(self._spec.control_log)
        if note is None or note.warnings == self._said:
            return
        self._said = note.warnings
        for text in note.warnings:
            # Each is a kind of its own: of one kind only one a second is said.
            self._events.warn(text, text)

    def _status(self) -> str:
        recent = self._ticks.newest(250)
        if len(recent) == 0:
            return "starting"
        late = np.percentile(recent["start_ns"] - recent["due_ns"], 99) / 1e6
        age = (int(recent["start_ns"][-1]) - int(recent["features_ns"][-1])) / 1e6
        seen = "none yet" if recent["features_ns"][-1] == 0 else f"{age:.0f} ms old"
        return (
            f"{rate(recent):.1f} Hz · lateness p99 {late:.2f} ms · features {seen} · "
            f"{self._tally.missed} missed{self._senses.status}{self._reviving.status}"
        )

    def _told(self) -> dict[str, str]:
        """What `status` says besides the conversation's own."""
        note = read_note(self._spec.control_log)
        facts = {
            "real_time": ", ".join(note.real_time) if note else "",
            "warnings": "\n".join(self._warnings(note)),
        }
        return {**self._swapping.told(), **{name: fact for name, fact in facts.items() if fact}}

    def _warnings(self, note: ControlNote | None) -> list[str]:
        return self.warnings + self._senses.warnings + (note.warnings if note else [])

    @property
    def enabling(self) -> int:
        """Joint commands that enabling the motors took."""
        note = read_note(self._spec.control_log)
        return note.enabling if note else 0

    def report(self) -> RunReport:
        """The run so far."""
        note = read_note(self._spec.control_log)
        return RunReport(
            robot=self._spec.robot.name,
            board=board(self._manifest),
            real_time=note.real_time if note else [],
            **self._tally.counts(),
            control_restarts=self.control.restarts,
            backbone_restarts=self.backbone.restarts,
            joint_commands_received=None,
            base_commands_sent=note.base.get("sent", 0) if note else 0,
            rows_lost=self._ticks.lost + self._passes.lost,
            features_refused={
                "torn": note.torn if note else 0,
                "foreign": note.foreign if note else 0,
                "not_finite": note.not_finite if note else 0,
            },
            warnings=self._warnings(note),
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
