"""Our spectrogram against transformers' feature extractor, on a recorded sound track."""

from __future__ import annotations

import numpy as np
import pytest
from transformers.audio_utils import mel_filter_bank

from neon_edge.backbones.qwen_reference import extractor
from neon_edge.engine.manifest import AudioGeometry
from neon_edge.errors import ConfigWrong
from neon_edge.features.audio import LogMel, mel_filters
from neon_edge.types import AudioWindow, Float32
from tests.tiny_backbone import track

RATE = 16000


def geometry(seconds: int) -> AudioGeometry:
    return AudioGeometry(RATE, seconds * RATE, mels=128, fft=400, hop=160, tokens=25 * seconds)


def spectrogram(samples: Float32) -> Float32:
    fixed = geometry(len(samples) // RATE)
    out = np.full((fixed.mels, fixed.frames), np.nan, np.float32)
    LogMel(fixed).fill(AudioWindow(samples, RATE, 1), out)
    return out


@pytest.mark.parametrize(("start", "seconds"), [(0, 2), (1, 2), (2, 2), (1, 4)])
def test_equals_the_feature_extractor(start: int, seconds: int) -> None:
    samples = track(seconds, start)
    assert samples.std() > 1e-3, "a recording of something"
    theirs = extractor(geometry(seconds))
    ours = spectrogram(samples)
    torch_path = theirs(samples, sampling_rate=RATE, return_tensors="np")["input_features"]
    assert np.abs(ours - torch_path[0, :, : ours.shape[1]]).max() <= 1e-4
    padded = np.pad(samples, (0, 30 * RATE))
    exact = theirs._np_extract_fbank_features(padded[None], "cpu")[0]
    assert np.abs(ours - exact[:, : ours.shape[1]]).max() <= 2e-6


def test_silence_and_full_scale() -> None:
    for samples in (np.zeros(2 * RATE, np.float32), np.ones(2 * RATE, np.float32)):
        theirs = extractor(geometry(2))(samples, sampling_rate=RATE, return_tensors="np")
        expected = theirs["input_features"][0, :, :200]
        assert np.abs(spectrogram(samples) - expected).max() <= 1e-4


@pytest.mark.parametrize(("rate", "fft", "mels"), [(16000, 400, 128), (16000, 512, 80)])
def test_filters_equal_transformers(rate: int, fft: int, mels: int) -> None:
    theirs = mel_filter_bank(
        fft // 2 + 1, mels, 0.0, 8000.0, rate, norm="slaney", mel_scale="slaney"
    )
    assert np.abs(mel_filters(rate, fft, mels) - theirs.T).max() <= 1e-12


@pytest.mark.parametrize(
    ("samples", "rate"), [(32000, 44100), (32000, 8000), (31999, 16000), (96000, 48000)]
)
def test_another_rate_or_length_is_refused(samples: int, rate: int) -> None:
    out = np.zeros((128, 200), np.float32)
    window = AudioWindow(np.zeros(samples, np.float32), rate, 1)
    with pytest.raises(ConfigWrong, match="not what the backbone was built for") as caught:
        LogMel(geometry(2)).fill(window, out)
    assert f"{rate} Hz" in caught.value.facts
    assert not out.any()
