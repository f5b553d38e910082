"""A camera's rolling window: the newest always, the others a period apart, no motion over a gap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.features.picture_window import PictureWindow
from neon_edge.types import CameraFrame

MS = 1_000_000
DEPTH, HZ = 4, 4.0
APART_MS = 250


def frame(at_ms: int, camera: str = "eye") -> CameraFrame:
    return CameraFrame(np.full((2, 2, 3), at_ms % 251, np.uint8), at_ms * MS, camera)


def seen(window: PictureWindow, *at_ms: int) -> list[int]:
    pictures: list[CameraFrame] = []
    for each in at_ms:
        pictures = window.see([frame(each)])
    return [picture.captured_ns // MS for picture in pictures]


def test_the_first_stands_for_those_before_it() -> None:
    window = PictureWindow(1, DEPTH, HZ)
    assert seen(window, 1000) == [1000] * 4
    assert seen(window, 1100) == [1000, 1000, 1000, 1100]
    assert seen(window, 1250) == [1000, 1000, 1000, 1250]


def test_pictures_lie_a_period_apart_and_the_newest_is_the_newest() -> None:
    window = PictureWindow(1, DEPTH, HZ)
    assert seen(window, *range(1000, 2001, 50)) == [1250, 1500, 1750, 2000]
    # At 30 Hz no picture falls on the grid; those an eighth early count, and the grid stays.
    window = PictureWindow(1, DEPTH, HZ)
    shown = seen(window, *(1000 + 100 * n // 3 for n in range(61)))
    assert shown == [2233, 2500, 2733, 3000]
    window = PictureWindow(1, DEPTH, HZ)
    assert seen(window, *range(1000, 2751, 250)) == [2000, 2250, 2500, 2750]
    assert seen(window, 2800) == [2250, 2500, 2750, 2800]


def test_the_same_picture_again_changes_nothing() -> None:
    window = PictureWindow(1, DEPTH, HZ)
    first = seen(window, 1000, 1250, 1500)
    assert seen(window, 1500, 1500) == first == [1000, 1000, 1250, 1500]


def test_behind_a_gap_a_new_window_begins() -> None:
    window = PictureWindow(1, DEPTH, HZ)
    seen(window, *range(1000, 2751, 250))
    assert seen(window, 2750 + DEPTH * APART_MS + 1) == [3751] * 4
    # And where a clip begins again, or a clock was set back.
    assert seen(window, 100) == [100] * 4


def test_cameras_stand_behind_one_another() -> None:
    window = PictureWindow(2, 2, HZ)
    window.see([frame(1000, "left"), frame(1010, "right")])
    pictures = window.see([frame(1250, "left"), frame(1260, "right")])
    shown = [(picture.camera, picture.captured_ns // MS) for picture in pictures]
    assert shown == [("left", 1000), ("left", 1250), ("right", 1010), ("right", 1260)]


def test_a_camera_may_write_into_the_same_memory() -> None:
    window = PictureWindow(1, 2, HZ)
    image = np.zeros((2, 2, 3), np.uint8)
    window.see([CameraFrame(image, 1000 * MS, "eye")])
    image[:] = 9
    before, newest = window.see([CameraFrame(image, 1250 * MS, "eye")])
    assert before.image.max() == 0
    assert newest.image.min() == 9


@pytest.mark.parametrize("depth", [2, 4])
@given(steps=st.lists(st.integers(1, 400), min_size=1, max_size=60))
def test_a_window_is_in_order_and_slides_by_whole_pictures(depth: int, steps: list[int]) -> None:
    window, before = PictureWindow(1, depth, HZ), None
    for at_ms in np.cumsum(steps).tolist():
        shown = seen(window, 10_000 + at_ms)
        assert len(shown) == depth
        assert shown == sorted(shown)
        assert shown[-1] == 10_000 + at_ms
        if before is not None:
            # One picture is new to a vision part that remembers the last pass.
            assert set(shown[:-1]) <= set(before) or len(set(shown)) == 1
        before = shown
