"""A camera that shows no world: whether features are made of it is the robot file's to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from neon_edge.capture.senses import Sense
from neon_edge.clock import MonotonicClock
from neon_edge.features.slot import SlotReader, SlotWriter, create_slot
from neon_edge.features.streams import StreamedBackbone
from neon_edge.runtime.backbone import Passes
from neon_edge.runtime.sensing import Moment
from neon_edge.telemetry.reader import RingReader
from neon_edge.telemetry.ring import PassRing
from neon_edge.types import CameraFrame

WIDTH = 8
Act = Literal["hold", "report"] | None


class Seeing:
    """A backbone whose features are ones."""

    listens = False
    instruction_id = 5
    alive = True
    seen_ns = 7
    due = True
    missing: frozenset[str] = frozenset()
    tokens = None

    def __init__(self) -> None:
        self.pooled = np.ones(WIDTH, np.float32)

    def see(self, frames: list[CameraFrame]) -> None:
        pass

    def miss(self, lacking: list[str]) -> None:
        pass

    def infer(self) -> None:
        pass


class Streaming(Seeing, StreamedBackbone):
    """One that was trained to miss a sense."""


@pytest.mark.parametrize(
    ("kind", "act", "published"),
    [
        (Seeing, None, False), (Seeing, "hold", False), (Seeing, "report", True),
        (Streaming, None, True), (Streaming, "hold", False), (Streaming, "report", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("sense", [Sense.FROZEN, Sense.DARK])
def test_what_becomes_of_a_picture_that_shows_nothing(
    tmp_path: Path, kind: Any, act: Act, published: bool, sense: Sense
) -> None:
    create_slot(tmp_path / "slot", WIDTH)
    PassRing.create(tmp_path / "ring")
    frame = CameraFrame(np.zeros((2, 2, 3), np.uint8), 9, "head")

    def moment(video: Sense, at_ns: int) -> Moment:
        seen = CameraFrame(frame.image, at_ns, frame.camera)
        return Moment([seen], None, video, 0, Sense.THERE, True)

    with (
        SlotWriter(tmp_path / "slot", 1) as slot,
        PassRing.open_writer(tmp_path / "ring") as ring,
        SlotReader(tmp_path / "slot", 1) as reader,
    ):
        passes = Passes(kind(), slot, ring, MonotonicClock(), None, act)
        assert passes.make(moment(sense, 9))
        assert (reader.latest() is not None) is published
        assert passes.make(moment(Sense.THERE, 10))
        assert reader.latest() is not None
    rows = RingReader(tmp_path / "ring")
    rows.drain()
    # Told either way: the row says how the camera is.
    assert rows.rows()["video"].tolist() == [sense, Sense.THERE]
    assert bool(rows.rows()["sequence"][0] > 0) is published
