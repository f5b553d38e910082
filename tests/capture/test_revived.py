"""A camera that is pulled out and put in again."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from neon_edge.capture.revived import Revived
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.types import CameraFrame

FRAME = CameraFrame(np.zeros((4, 4, 3), np.uint8), 1, "eye")


class Pulled:
    """Gives one frame, then is gone."""

    def __init__(self, failure: Exception) -> None:
        self._frames = [FRAME]
        self._failure = failure
        self.closed = False

    def newest(self) -> CameraFrame:
        if not self._frames:
            raise self._failure
        return self._frames.pop()

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Pulled:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


GONE = DeviceMissing("camera is gone", "unplugged", "plug it in")
TORN = ConfigWrong("not a video we can play", "cut", "copy it again")


@pytest.mark.parametrize("failure", [GONE, TORN])
def test_it_comes_back_on_its_own(failure: Exception) -> None:
    opened: list[Pulled] = []
    there = threading.Event()

    def opening() -> Pulled:
        # Open, then missing twice, then there again.
        if len(opened) == 1 and attempts.pop():
            raise GONE
        opened.append(Pulled(failure))
        if len(opened) == 2:
            there.set()
        return opened[-1]

    attempts = [False, True, True]
    with Revived(opening, again_s=0.001) as camera:
        assert camera.newest() is FRAME
        assert camera.newest() is None
        assert opened[0].closed
        assert there.wait(30)
        # The thread hands it over right behind having opened it.
        while (frame := camera.newest()) is None:
            pass
        assert frame is FRAME
    assert opened[1].closed
    assert attempts == []


def test_a_robot_does_not_start_without_it() -> None:
    def opening() -> Pulled:
        raise GONE

    with pytest.raises(DeviceMissing):
        Revived(opening)


def test_closing_ends_the_attempts() -> None:
    calls = [0]

    def opening() -> Pulled:
        calls[0] += 1
        if calls[0] > 1:
            raise GONE
        return Pulled(GONE)

    camera = Revived(opening, again_s=0.001)
    camera.newest()
    assert camera.newest() is None
    camera.close()
    assert camera.newest() is None
    after = calls[0]
    threading.Event().wait(0.05)
    assert calls[0] == after
