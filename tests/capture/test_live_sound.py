"""A live microphone gives its newest window at the rate asked for, and says when it is gone."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from neon_edge.capture.live_sound import LiveSound
from neon_edge.capture.microphone import Microphone, open_microphone, own_rate
from neon_edge.clock import MonotonicClock
from neon_edge.config.robot import LiveMicrophone
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.types import AudioWindow

CLOCK = MonotonicClock()
RATE, WINDOW = 16_000, 3200
RAMP = LiveMicrophone("ear", "aevalsrc=t/100|0:s=16000:n=320,arealtime", "lavfi")
"""Left rises by 1/100 a second, right is still."""


def wait_s(seconds: float) -> None:
    CLOCK.sleep_until_ns(CLOCK.now_ns() + round(seconds * 1e9))


def first_window(microphone: Microphone) -> AudioWindow:
    for _ in range(500):
        window = microphone.newest()
        if window is not None:
            return window
        wait_s(0.02)
    raise AssertionError("no window in ten seconds")


def test_windows_are_the_newest_whole_stretch_of_all_channels_mean() -> None:
    before_ns = CLOCK.now_ns()
    with open_microphone(RAMP, RATE, WINDOW, CLOCK) as microphone:
        first = first_window(microphone)
        wait_s(0.2)
        later = microphone.newest()
    assert later is not None
    assert later.samples.shape == (WINDOW,) and later.samples.dtype == np.float32
    assert later.rate_hz == RATE
    assert before_ns < first.captured_ns < later.captured_ns <= CLOCK.now_ns()
    for window in (first, later):
        # Nothing is lost, repeated or out of order between blocks of 20 ms.
        assert np.diff(window.samples) == pytest.approx(1 / 200 / RATE, abs=1e-7)
    assert later.samples[-1] > first.samples[-1]


def test_there_is_no_window_before_there_was_so_much_sound() -> None:
    with open_microphone(RAMP, RATE, 100 * RATE, CLOCK) as microphone:
        assert microphone.newest() is None


def test_another_rate_is_refused_with_both() -> None:
    other = LiveMicrophone("ear", "sine=sample_rate=44100,arealtime", "lavfi")
    with pytest.raises(ConfigWrong, match="another rate") as wrong:
        open_microphone(other, RATE, WINDOW, CLOCK)
    assert "44100 Hz against 16000 Hz" in wrong.value.facts


def test_a_picture_is_no_microphone() -> None:
    with pytest.raises(ConfigWrong, match="gives no sound"):
        open_microphone(LiveMicrophone("ear", "testsrc", "lavfi"), RATE, WINDOW, CLOCK)


def test_a_source_that_ends_is_a_missing_device_and_no_old_sound() -> None:
    short = LiveMicrophone("ear", "sine=sample_rate=16000:duration=0.3,arealtime", "lavfi")
    with open_microphone(short, RATE, WINDOW, CLOCK) as microphone:
        wait_s(1.5)
        with pytest.raises(DeviceMissing, match="'ear' gives no sound") as gone:
            microphone.newest()
    assert "ended" in gone.value.facts


@pytest.mark.parametrize(("source", "kind"), [("hw:77", "alsa"), ("no such filter", "lavfi")])
def test_what_cannot_be_opened_is_named(source: str, kind: str) -> None:
    with pytest.raises(DeviceMissing, match="'ear'") as missing:
        open_microphone(LiveMicrophone("ear", source, kind), RATE, WINDOW, CLOCK)
    assert source in missing.value.facts


def test_a_block_longer_than_a_window_leaves_its_end() -> None:
    reader = LiveSound.__new__(LiveSound)
    reader._heard = np.zeros(4, np.float32)
    reader._filled, reader._captured_ns = 0, 0
    reader._clock, reader._lock = CLOCK, threading.Lock()
    reader._keep(np.arange(3, dtype=np.float32))
    assert reader._filled == 3
    reader._keep(np.arange(10, 19, dtype=np.float32))
    assert reader._heard.tolist() == [15, 16, 17, 18]
    reader._keep(np.array([19], np.float32))
    assert reader._heard.tolist() == [16, 17, 18, 19]


def test_it_is_recorded_at_its_own_rate() -> None:
    assert own_rate(LiveMicrophone("ear", "hw:1")) == RATE
    assert own_rate(LiveMicrophone("ear", "hw:1", options={"sample_rate": "8000"})) == 8000
