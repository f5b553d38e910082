"""The backbone process: newest picture → pooled features → slot, as fast as pictures come.

Run by the supervisor as `python -m neon_edge.runtime.backbone RUN.json`.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from neon_edge.capture.camera import Camera, open_camera
from neon_edge.capture.microphone import Microphone, open_microphone
from neon_edge.clock import MonotonicClock
from neon_edge.engine.manifest import Manifest
from neon_edge.engine.plan import open_engine
from neon_edge.features.backbone import Backbone
from neon_edge.features.slot import SlotWriter
from neon_edge.runtime.child import Stop, run_child
from neon_edge.runtime.instructions import Listener
from neon_edge.runtime.observed import PooledRing
from neon_edge.runtime.plans import admit
from neon_edge.runtime.rundir import hold
from neon_edge.runtime.spec import RunSpec, read_note, read_spec
from neon_edge.telemetry.ring import PassRing
from neon_edge.types import AudioWindow, CameraFrame, Features

NICENESS = 5
POLL_NS = 2_000_000


def open_backbone(manifest: Manifest, directory: Path, threads: int) -> Backbone:
    """Open every part's engine."""
    engines = [
        open_engine(directory, part, manifest.machine, threads) for part in manifest.backbone.parts
    ]
    return Backbone(manifest.backbone, directory, engines)


def backbone_pass(
    backbone: Backbone,
    frames: list[CameraFrame],
    slot: SlotWriter,
    passes: PassRing,
    clock: MonotonicClock,
    pooled: PooledRing | None = None,
    sound: AudioWindow | None = None,
) -> None:
    """One pass, timed, published unless it is not finite."""
    begun_ns = clock.now_ns()
    backbone.see(frames)
    if sound is not None:
        backbone.hear(sound)
    seen_ns = clock.now_ns()
    backbone.infer()
    inferred_ns = clock.now_ns()
    captured_ns = min(frame.captured_ns for frame in frames)
    sequence = 0
    if np.isfinite(backbone.pooled).all():
        if pooled is not None:
            # Ahead of publishing: what a recorded robot acts on is recorded, whoever dies between.
            pooled.add(_features(backbone, captured_ns, inferred_ns, slot))
        sequence = slot.publish(backbone.pooled, captured_ns, inferred_ns, backbone.instruction_id)
    passes.add(
        sequence=sequence,
        captured_ns=captured_ns,
        capture_ns=begun_ns - captured_ns,
        preprocess_ns=seen_ns - begun_ns,
        backbone_ns=inferred_ns - seen_ns,
        publish_ns=clock.now_ns() - inferred_ns,
    )


def _features(
    backbone: Backbone, captured_ns: int, published_ns: int, slot: SlotWriter
) -> Features:
    return Features(
        backbone.pooled,
        captured_ns,
        published_ns,
        slot.next_sequence,
        slot.model_hash,
        backbone.instruction_id,
    )


def run(spec: RunSpec, stop: Stop) -> None:
    """Until told to stop: wait for new pictures, make a pass of the newest."""
    clock = MonotonicClock()
    directory = Path(spec.plans)
    manifest = admit(directory, spec.robot)
    # The control loop and the motors come first.
    os.nice(NICENESS)
    with ExitStack() as opened:
        backbone = open_backbone(manifest, directory, spec.backbone_threads)
        opened.callback(backbone.close)
        cameras: list[Camera] = [
            opened.enter_context(open_camera(camera, clock)) for camera in spec.robot.cameras
        ]
        ear = _open_ear(spec, manifest, clock, opened)
        slot = opened.enter_context(SlotWriter(spec.slot, int(manifest.backbone.model_hash, 16)))
        passes = opened.enter_context(PassRing.open_writer(spec.passes))
        pooled = None
        if spec.record:
            pooled = opened.enter_context(PooledRing(spec.pooled, backbone.pooled.size))
        listener = Listener(spec.instruction_wanted, spec.instruction_in_use, backbone.instruct)
        listener.start(spec.robot.instruction)
        seen: list[int] = []
        parent = os.getppid()
        while not stop.requested and not _useless(parent, spec):
            listener.look()
            frames = [camera.newest() for camera in cameras]
            stamps = [frame.captured_ns for frame in frames if frame is not None]
            sound = ear.newest() if ear is not None else None
            if len(stamps) < len(frames) or stamps == seen or (ear is not None and sound is None):
                clock.sleep_until_ns(clock.now_ns() + POLL_NS)
                continue
            seen = stamps
            pictures = [frame for frame in frames if frame is not None]
            backbone_pass(backbone, pictures, slot, passes, clock, pooled, sound)


def _open_ear(
    spec: RunSpec, manifest: Manifest, clock: MonotonicClock, opened: ExitStack
) -> Microphone | None:
    microphone, audio = spec.robot.microphone, manifest.backbone.audio
    if microphone is None or audio is None:
        return None
    return opened.enter_context(open_microphone(microphone, audio.rate_hz, audio.samples, clock))


def _useless(parent: int, spec: RunSpec) -> bool:
    """Without a supervisor the backbone goes on for as long as the control process does."""
    if os.getppid() == parent:
        return False
    note = read_note(spec.control_log)
    return note is None or note.state == "stopped"


def main(stop: Stop) -> None:
    """RUN.json is the only argument."""
    spec = read_spec(Path(sys.argv[1]))
    with hold(Path(spec.directory)):
        run(spec, stop)


if __name__ == "__main__":
    sys.exit(run_child("backbone", main))
