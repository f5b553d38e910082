"""Steps of half a second stay in step with the clock, however often the video is encoded."""

from __future__ import annotations

import numpy as np
import pytest

from neon_edge.engine.contract import Tensors
from neon_edge.engine.streams import Rates, Streams
from neon_edge.features.fusion import StepFusion
from neon_edge.types import Float32

MS = 1_000_000
STEPS = 4


class Network:
    """As much of an engine as a fusion over steps fills."""

    def __init__(self) -> None:
        self.inputs: Tensors = {
            "text_steps": np.zeros((1, STEPS, 2), np.float32),
            "audio_steps": np.zeros((1, STEPS, 2), np.float32),
            "video_steps": np.zeros((1, STEPS, 2), np.float32),
            "present": np.zeros((1, 3), np.float32),
        }
        self.outputs: Tensors = {}

    def start(self) -> None: ...

    def wait(self) -> None: ...

    def close(self) -> None: ...


def seen_at(*times_ms: int) -> list[float]:
    """What the video's steps hold after an encoding at each time, which is that time in ms."""
    engine = Network()
    fusion = StepFusion(Streams(Rates(), dict.fromkeys(("video", "audio", "text"), STEPS)), engine)
    for at in times_ms:
        made: dict[str, Float32] = {"video_steps": np.full((1, 1, 2), at, np.float32)}
        fusion.put("video", made, at * MS)
    steps: list[float] = engine.inputs["video_steps"][0, :, 0].tolist()
    return steps


@pytest.mark.parametrize(
    ("times", "held"),
    [
        ((1000,), [1000, 1000, 1000, 1000]),
        ((1000, 1500, 2000, 2500), [1000, 1500, 2000, 2500]),
        # A board that makes one window in 1.5 s: what it missed repeats what it last saw.
        ((1000, 2500), [1000, 1000, 1000, 2500]),
        ((1000, 1500, 2500), [1000, 1500, 1500, 2500]),
        # Ten windows a second are still steps of half a second; the newest stands last.
        (tuple(range(1000, 2501, 100)), [1200, 1700, 2200, 2500]),
        # Nothing is left of what lies longer ago than the window.
        ((1000, 1500, 9000), [9000] * 4),
        # A recording that begins again begins a new window.
        ((5000, 5500, 1000), [1000] * 4),
    ],
)
def test_video_rolls_by_the_time_that_passed(times: tuple[int, ...], held: list[float]) -> None:
    assert seen_at(*times) == held


def test_a_camera_beside_the_grid_never_drifts() -> None:
    # 0.43 s apart for a minute: every step lies within a quarter of a second of its place.
    times = [1000 + round(430 * k) for k in range(140)]
    for count in range(20, 140):
        steps = seen_at(*times[:count])
        away = [steps[-1] - 500 * (STEPS - 1 - k) - steps[k] for k in range(STEPS)]
        assert max(map(abs, away)) <= 500


def test_sound_brings_its_whole_window_and_what_is_dropped_begins_anew() -> None:
    engine = Network()
    fusion = StepFusion(Streams(Rates(), dict.fromkeys(("video", "audio", "text"), STEPS)), engine)
    sound = np.arange(8, dtype=np.float32).reshape(1, STEPS, 2)
    fusion.put("audio", {"audio_steps": sound}, 1000 * MS)
    assert (engine.inputs["audio_steps"] == sound).all()
    for at, value in ((1000, 1.0), (1500, 2.0)):
        fusion.put("video", {"video_steps": np.full((1, 1, 2), value, np.float32)}, at * MS)
    assert engine.inputs["present"].tolist() == [[0, 1, 1]]
    fusion.drop("video")
    assert engine.inputs["present"].tolist() == [[0, 1, 0]]
    fusion.put("video", {"video_steps": np.full((1, 1, 2), 3.0, np.float32)}, 2000 * MS)
    assert (engine.inputs["video_steps"] == 3).all()
