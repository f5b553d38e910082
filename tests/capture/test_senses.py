"""Dark, frozen, silent and lost, and what is none of them."""

from __future__ import annotations

import numpy as np
import pytest

from neon_edge.capture.senses import CameraWatch, MicrophoneWatch, Sense
from neon_edge.config.senses import Senses
from neon_edge.types import AudioWindow, CameraFrame, Float32, UInt8
from tests.tiny_backbone import street, track

SENSES = Senses()
NS = 10**9


def shown(watch: CameraWatch, picture: UInt8, at_s: float) -> Sense:
    at_ns = round(at_s * NS)
    return watch.look(CameraFrame(picture, at_ns, "eye"), at_ns)


def night(level: float, seed: int) -> UInt8:
    """A covered lens: a sensor's noise around `level`."""
    draw = np.random.default_rng(seed).normal(level, 1.5, (272, 640, 3))
    return np.clip(draw, 0, 255).astype(np.uint8)


def test_a_street_is_there() -> None:
    watch = CameraWatch(SENSES)
    states = {shown(watch, street()[k % 5], 1 + k / 10) for k in range(60)}
    assert states == {Sense.THERE}


def test_a_covered_lens_is_dark_after_half_a_second_and_back_at_once() -> None:
    watch = CameraWatch(SENSES)
    assert shown(watch, street()[0], 1.0) is Sense.THERE
    assert shown(watch, night(3, 0), 1.1) is Sense.THERE
    assert shown(watch, night(3, 1), 1.5) is Sense.THERE
    assert shown(watch, night(3, 2), 1.7) is Sense.DARK
    assert shown(watch, street()[1], 1.8) is Sense.THERE
    assert shown(watch, night(3, 3), 1.9) is Sense.THERE, "the half second begins anew"


def test_a_night_with_a_lamp_is_not_dark() -> None:
    watch = CameraWatch(SENSES)
    for k in range(20):
        picture = night(3, k)
        picture[:60, :60] = 200
        assert shown(watch, picture, 1 + k / 10) is Sense.THERE


@pytest.mark.parametrize("after_s", [0.5, 2.0])
def test_a_picture_that_never_changes_is_frozen(after_s: float) -> None:
    watch = CameraWatch(Senses(frozen_after_s=after_s))
    states = [shown(watch, street()[0], 1 + k / 10) for k in range(40)]
    first = states.index(Sense.FROZEN)
    assert first / 10 == pytest.approx(after_s, abs=0.11)
    assert set(states[first:]) == {Sense.FROZEN}
    assert shown(watch, street()[1], 10) is Sense.THERE


def test_noise_thaws_a_still_scene() -> None:
    watch, draw = CameraWatch(SENSES), np.random.default_rng(0)
    for k in range(60):
        noise = draw.integers(-1, 2, street()[0].shape)
        picture = np.clip(street()[0].astype(int) + noise, 0, 255).astype(np.uint8)
        assert shown(watch, picture, 1 + k / 10) is Sense.THERE


def test_a_camera_that_gives_nothing_is_lost_from_its_first_second_on() -> None:
    watch = CameraWatch(SENSES)
    assert watch.look(None, 5 * NS) is Sense.THERE
    assert watch.look(None, 7 * NS) is Sense.LOST
    frame = CameraFrame(street()[0], 8 * NS, "eye")
    assert watch.look(frame, 8 * NS) is Sense.THERE
    assert watch.look(frame, 9 * NS + 1) is Sense.LOST, "the same frame is nothing new"
    assert shown(watch, street()[1], 9.5) is Sense.THERE


def heard(watch: MicrophoneWatch, samples: Float32, at_s: float) -> Sense:
    at_ns = round(at_s * NS)
    return watch.look(AudioWindow(samples, 16000, at_ns), at_ns)


def test_speech_is_there_and_a_quiet_room_too() -> None:
    watch = MicrophoneWatch(SENSES)
    for second in range(3):
        assert heard(watch, track(2, second), 2 + second) is Sense.THERE
    # One step of 16 bits: the self-noise of a quiet MEMS microphone.
    room = np.random.default_rng(0).normal(0, 2**-15, 32000).astype(np.float32)
    assert heard(watch, room, 9) is Sense.THERE


@pytest.mark.parametrize("offset", [0.0, 0.02])
def test_an_unplugged_microphone_is_silent_though_its_window_still_holds_sound(
    offset: float,
) -> None:
    watch = MicrophoneWatch(SENSES)
    fading = track(2).copy()
    fading[-8000:] = offset
    assert heard(watch, track(2), 2) is Sense.THERE
    assert heard(watch, fading, 3) is Sense.SILENT
    assert heard(watch, track(2, 1), 4) is Sense.THERE


def test_a_microphone_may_take_as_long_as_its_window_to_begin() -> None:
    watch = MicrophoneWatch(SENSES)
    patience = 4 * NS
    assert watch.look(None, NS, patience) is Sense.THERE
    assert watch.look(None, 5 * NS, patience) is Sense.THERE
    assert watch.look(None, 7 * NS, patience) is Sense.LOST
