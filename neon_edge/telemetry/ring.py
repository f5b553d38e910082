"""The two rings of a run: ticks from the control process, passes from the backbone process.

A tick's `joint` is the one that its cause is about, or the live sensor of cause SENSOR_SILENT.
"""

from __future__ import annotations

from neon_edge.telemetry.mapped import RingWriter
from neon_edge.telemetry.reader import RingReader

__all__ = ["PassRing", "RingReader", "TickRing"]


class TickRing(RingWriter):
    """A row a tick, written by the control process. Durations and instants in ns."""

    CAPACITY = 4096  # 82 s at 50 Hz
    FIELDS = (
        ("number", "i8"),
        ("due_ns", "i8"),
        ("start_ns", "i8"),
        ("end_ns", "i8"),
        ("read_ns", "i8"),
        ("slot_ns", "i8"),
        ("heads_ns", "i8"),
        ("safety_ns", "i8"),
        ("write_ns", "i8"),
        ("features_ns", "i8"),
        ("joints_ns", "i8"),
        ("rung", "u1"),
        ("cause", "u1"),
        ("joint", "u2"),
        ("clipped", "u2"),
        ("sent", "u2"),
    )

    def add(
        self,
        *,
        number: int,
        due_ns: int,
        start_ns: int,
        end_ns: int,
        read_ns: int,
        slot_ns: int,
        heads_ns: int,
        safety_ns: int,
        write_ns: int,
        features_ns: int,
        joints_ns: int,
        rung: int,
        cause: int,
        joint: int,
        clipped: int,
        sent: int,
    ) -> None:
        """Remember a tick: five stage durations; when its vision and its oldest joint were seen."""
        self._put(
            number,
            due_ns,
            start_ns,
            end_ns,
            read_ns,
            slot_ns,
            heads_ns,
            safety_ns,
            write_ns,
            features_ns,
            joints_ns,
            rung,
            cause,
            joint,
            clipped,
            sent,
        )


class PassRing(RingWriter):
    """A row a backbone pass, written by the backbone process. Durations in ns."""

    CAPACITY = 1024
    FIELDS = (
        ("sequence", "i8"),
        ("captured_ns", "i8"),
        ("capture_ns", "i8"),
        ("preprocess_ns", "i8"),
        ("backbone_ns", "i8"),
        ("publish_ns", "i8"),
        ("video", "u1"),
        ("camera", "u1"),
        ("sound", "u1"),
    )

    def add(
        self,
        *,
        sequence: int,
        captured_ns: int,
        capture_ns: int,
        preprocess_ns: int,
        backbone_ns: int,
        publish_ns: int,
        video: int = 0,
        camera: int = 0,
        sound: int = 0,
    ) -> None:
        """Remember a pass: the slot's sequence (0: not published) and its picture's time.

        `video` is how the worst camera is (`capture.senses.Sense`), `camera` which that is.
        """
        self._put(
            sequence,
            captured_ns,
            capture_ns,
            preprocess_ns,
            backbone_ns,
            publish_ns,
            video,
            camera,
            sound,
        )
