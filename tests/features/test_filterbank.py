"""Our filter bank against the feature extractor of Wav2Vec-BERT 2.0, on a recorded sound track."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import SeamlessM4TFeatureExtractor

from neon_edge.errors import ConfigWrong
from neon_edge.features.filterbank import FilterBank, kaldi_filters, rows_of
from neon_edge.types import AudioWindow
from tests.tiny_backbone import track


@pytest.mark.parametrize(("start", "seconds"), [(0, 1), (1, 2), (2, 3)])
@pytest.mark.parametrize("cut", [0, 77])
def test_equals_the_feature_extractor(start: int, seconds: int, cut: int) -> None:
    samples = track(seconds, start)[cut:]
    theirs = SeamlessM4TFeatureExtractor()(samples, sampling_rate=16000, return_tensors="np")
    expected, mask = theirs["input_features"], theirs["attention_mask"]
    assert mask.all(), "a single window is never masked"
    out = np.full((1, rows_of(len(samples)), 160), np.nan, np.float32)
    assert out.shape == expected.shape
    FilterBank(len(samples)).fill(AudioWindow(samples, 16000, 1), out)
    assert np.abs(out - expected).max() <= 1e-4


def test_silence_is_finite() -> None:
    out = np.full((1, rows_of(16000), 160), np.nan, np.float32)
    FilterBank(16000).fill(AudioWindow(np.zeros(16000, np.float32), 16000, 1), out)
    assert np.abs(out).max() <= 1e-6


@pytest.mark.parametrize("samples", [15800, 400, 10])
def test_half_a_row_is_refused(samples: int) -> None:
    with pytest.raises(ConfigWrong, match="whole rows"):
        rows_of(samples)


def test_filters_equal_transformers() -> None:
    theirs = SeamlessM4TFeatureExtractor().mel_filters
    assert np.abs(kaldi_filters() - theirs.T).max() <= 1e-12


@pytest.mark.parametrize(("samples", "rate"), [(16000, 44100), (16001, 16000)])
def test_another_rate_or_length_is_refused(samples: int, rate: int) -> None:
    out = np.zeros((1, rows_of(16000), 160), np.float32)
    with pytest.raises(ConfigWrong, match="not what the backbone was built for"):
        FilterBank(16000).fill(AudioWindow(np.zeros(samples, np.float32), rate, 1), out)
    assert not out.any()
