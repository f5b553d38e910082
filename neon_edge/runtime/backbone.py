"""The backbone process: newest picture → pooled features → slot, as fast as pictures come.

Run by the supervisor as `python -m neon_edge.runtime.backbone RUN.json`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from neon_edge.capture.camera import Camera, open_camera
from neon_edge.capture.microphone import Microphone, open_microphone
from neon_edge.capture.revived import Revived
from neon_edge.capture.senses import Sense
from neon_edge.clock import MonotonicClock
from neon_edge.engine.manifest import Manifest
from neon_edge.engine.plan import open_engine
from neon_edge.features.backbone import Backbone
from neon_edge.features.slot import SlotWriter
from neon_edge.features.streams import StreamedBackbone, open_features
from neon_edge.runtime.child import Stop, run_child
from neon_edge.runtime.instructions import Listener
from neon_edge.runtime.observed import PooledRing
from neon_edge.runtime.plans import admit
from neon_edge.runtime.realtime import leave_to_control
from neon_edge.runtime.rundir import hold, lives
from neon_edge.runtime.sensing import Moment, Sensing
from neon_edge.runtime.spec import RunSpec, read_note, read_spec
from neon_edge.runtime.streaming import take
from neon_edge.telemetry.ring import PassRing
from neon_edge.types import Features

NICENESS = 5
OOM_SCORE = 500
"""Of -1000 to 1000; the unit shields all of the service with -900, and the motors need control."""
POLL_NS = 2_000_000


def open_backbone(manifest: Manifest, directory: Path, threads: int) -> Backbone | StreamedBackbone:
    """Open every part's engine."""
    engines = [
        open_engine(directory, part, manifest.machine, threads) for part in manifest.backbone.parts
    ]
    return open_features(manifest.backbone, directory, engines)


class Passes:
    """Passes of one backbone, each timed, published unless it is not finite or shows no world.

    `act`: what a camera that shows none does (config/senses.py).
    """

    def __init__(
        self,
        backbone: Backbone | StreamedBackbone,
        slot: SlotWriter,
        ring: PassRing,
        clock: MonotonicClock,
        pooled: PooledRing | None = None,
        act: Literal["hold", "report"] | None = None,
    ) -> None:
        self._backbone = backbone
        by_itself = "report" if isinstance(backbone, StreamedBackbone) else "hold"
        self._holds = (act or by_itself) == "hold"
        self._slot = slot
        self._ring = ring
        self._clock = clock
        self._pooled = pooled
        self._seen: list[int] = []

    def make(self, moment: Moment) -> bool:
        """A pass of what is newest. False if there is nothing new to make one of."""
        backbone, begun_ns = self._backbone, self._clock.now_ns()
        if isinstance(backbone, StreamedBackbone):
            if not take(backbone, moment):
                return False
            captured_ns, alive = backbone.seen_ns or begun_ns, backbone.alive
        else:
            if not moment.frames or moment.stamps == self._seen:
                return False
            if backbone.listens and moment.sound is None:
                return False
            self._seen = moment.stamps
            backbone.see(moment.frames)
            if moment.sound is not None:
                backbone.hear(moment.sound)
            captured_ns, alive = min(moment.stamps), True
        if self._holds and moment.video is not Sense.THERE:
            alive = False
        seen_ns = self._clock.now_ns()
        backbone.infer()
        self._publish(moment, captured_ns, begun_ns, seen_ns, alive)
        return True

    def _publish(
        self, moment: Moment, captured_ns: int, begun_ns: int, seen_ns: int, alive: bool
    ) -> None:
        backbone, slot = self._backbone, self._slot
        inferred_ns = self._clock.now_ns()
        sequence = 0
        if alive and np.isfinite(backbone.pooled).all():
            if self._pooled is not None:
                # Ahead of publishing: what a recorded robot acts on is recorded, whoever dies.
                self._pooled.add(_features(backbone, captured_ns, inferred_ns, slot))
            sequence = slot.publish(
                backbone.pooled,
                captured_ns,
                inferred_ns,
                backbone.instruction_id,
                backbone.tokens,
            )
        self._ring.add(
            sequence=sequence,
            captured_ns=captured_ns,
            capture_ns=begun_ns - captured_ns,
            preprocess_ns=seen_ns - begun_ns,
            backbone_ns=inferred_ns - seen_ns,
            publish_ns=self._clock.now_ns() - inferred_ns,
            video=moment.video,
            camera=moment.camera,
            sound=moment.audio,
        )


def _features(
    backbone: Backbone | StreamedBackbone, captured_ns: int, published_ns: int, slot: SlotWriter
) -> Features:
    return Features(
        backbone.pooled,
        captured_ns,
        published_ns,
        slot.next_sequence,
        slot.model_hash,
        backbone.instruction_id,
        backbone.tokens,
    )


def run(spec: RunSpec, stop: Stop) -> None:
    """Until told to stop: wait for new pictures, make a pass of the newest."""
    clock = MonotonicClock()
    directory = Path(spec.plans)
    manifest = admit(directory, spec.robot)
    # The control loop and the motors come first.
    os.nice(NICENESS)
    _go_first()
    leave_to_control(spec.robot.runtime.cpus)
    with ExitStack() as opened:
        backbone = open_backbone(manifest, directory, spec.backbone_threads)
        opened.callback(backbone.close)
        cameras: list[Camera] = [
            # One that is pulled out and put in again need not cost a restart of all engines.
            opened.enter_context(Revived(partial(open_camera, camera, clock)))
            for camera in spec.robot.cameras
        ]
        ear = _open_ear(spec, manifest, clock, opened)
        slot = opened.enter_context(SlotWriter(spec.slot, int(manifest.backbone.model_hash, 16)))
        ring = opened.enter_context(PassRing.open_writer(spec.passes))
        pooled = None
        if spec.record:
            pooled = opened.enter_context(PooledRing(spec.pooled, slot.width, slot.rows))
        listener = Listener(spec.instruction_wanted, spec.instruction_in_use, backbone.instruct)
        listener.start(spec.robot.instruction)
        audio = manifest.backbone.audio
        patience_ns = 0 if audio is None else audio.samples * 1_000_000_000 // audio.rate_hz
        sensing = Sensing(cameras, ear, spec.robot.senses, patience_ns)
        passes = Passes(backbone, slot, ring, clock, pooled, spec.robot.senses.act)
        parent = os.getppid()
        while not stop.requested and not _useless(parent, spec):
            listener.look()
            if not passes.make(sensing.look(clock.now_ns())):
                clock.sleep_until_ns(clock.now_ns() + POLL_NS)


def _go_first() -> None:
    """Where memory runs out, the kernel ends this process: the robot holds, and it comes back."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))


def _open_ear(
    spec: RunSpec, manifest: Manifest, clock: MonotonicClock, opened: ExitStack
) -> Microphone | None:
    microphone, audio = spec.robot.microphone, manifest.backbone.audio
    if microphone is None or audio is None:
        return None
    return opened.enter_context(
        Revived(partial(open_microphone, microphone, audio.rate_hz, audio.samples, clock))
    )


def _useless(parent: int, spec: RunSpec) -> bool:
    """Without a supervisor the backbone goes on for as long as the control process does."""
    if os.getppid() == parent:
        return False
    note = read_note(spec.control_log)
    return note is None or note.state == "stopped" or not lives(note.pid)


def main(stop: Stop) -> None:
    """RUN.json is the only argument."""
    spec = read_spec(Path(sys.argv[1]))
    with hold(Path(spec.directory)):
        run(spec, stop)


if __name__ == "__main__":
    sys.exit(run_child("backbone", main))
