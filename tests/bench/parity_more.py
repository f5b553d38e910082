"""What `parity_heads.py` measures otherwise: speech, attended tokens, heads without upstream."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neon_edge.build.heads import sample_inputs, torch_chunk
from neon_edge.checkpoint import Checkpoint
from neon_edge.checkpoint.networks.fast import FastHead
from neon_edge.engine.contract import Engine, infer
from neon_edge.engine.spelling import SpellingEngine
from tests.checkpoint.own_heads import fast_config, jepa_config, save_own
from tests.checkpoint.test_parity_samplers import theirs

OWN = {"fast": fast_config, "jepa": jepa_config}
"""Upstream has neither."""
AUDIO: dict[str, dict[str, Any]] = {
    "whisper": {"encoder_type": "whisper", "projection_dim": 24},
    "mel": {"encoder_type": "mel", "enable_speech_output": False, "max_audio_seconds": 1.0},
}
TOKENS, TOKEN_WIDTH = 11, 96
CROSS_ATTENTION: dict[str, Any] = {
    "action_head_type": "flow",
    "flow_use_cross_attention": True,
    "flow_cross_attention_dim": TOKEN_WIDTH,
}
WRITTEN = [5, 9, 5, 260]
"""Tokens along which a fast head's scores are compared."""


def listen(model: Any, encoder: str) -> None:
    """Let upstream's audio encoder begin where the recording has been transformed already."""
    own = model.audio_encoder
    if encoder == "whisper":
        own._encoder = torch.nn.Linear(3, 3)  # upstream loads it on first use; nothing runs it here
        own.encode = lambda pooled: own.projection(pooled)  # noqa: PLW0108
        return
    own._encoder = torch.nn.Sequential(
        torch.nn.Conv1d(80, 256, kernel_size=3, padding=1), torch.nn.GELU(),
        torch.nn.Conv1d(256, 512, kernel_size=3, padding=1), torch.nn.GELU(),
        torch.nn.AdaptiveAvgPool1d(1),
    )  # fmt: skip
    own._mel_transform = lambda spectrogram: spectrogram
    model.eval()


def attended(
    checkpoint: Checkpoint, model: Any, engine: Engine, samples: int
) -> tuple[float, float]:
    """Largest differences of chunks whose flow attends to tokens: upstream's `predict` gives none.

    Its own velocity takes them, so that is where they are handed in.
    """
    network = plan = 0.0
    random = np.random.default_rng(5)
    for seen in sample_inputs(checkpoint, samples, seed=0):
        tokens = random.standard_normal((1, TOKENS, TOKEN_WIDTH), dtype=np.float32)
        with pytest.MonkeyPatch.context() as patch:
            velocity = model.action_head._predict_velocity
            given = functools.partial(velocity, encoder_hidden_states=torch.from_numpy(tokens))
            patch.setattr(model.action_head, "_predict_velocity", given)
            expected = theirs(patch, model, seen)
        whole = {**seen, "tokens": tokens}
        ours = torch_chunk(checkpoint, whole)
        shaped = {name: value.reshape(engine.inputs[name].shape) for name, value in whole.items()}
        made = infer(engine, shaped)["chunk"]
        network = max(network, float(np.abs(ours[0] - expected).max()))
        plan = max(plan, float(np.abs(made - ours).max()))
    return network, plan


def save_own_head(directory: Path, head: str, mode: str) -> None:
    """A checkpoint of one of our own heads, random weights."""
    save_own(directory, OWN[head](control_mode=mode, use_imu=True))


def score_errors(checkpoint: Checkpoint, engine: Engine, samples: int = 10) -> float:
    """Largest difference of a fast head's scores, plan from network, along `WRITTEN`.

    Random weights write nothing that is a chunk, so there is none to compare.
    """
    head, worst = checkpoint.module.action_head, 0.0
    assert isinstance(engine, SpellingEngine) and isinstance(head, FastHead)
    places = np.cumsum([0, *(head.tokens.characters[one] for one in WRITTEN)]).tolist()
    for seen in sample_inputs(checkpoint, samples, seed=2):
        for name, value in seen.items():
            np.copyto(engine.inputs[name], value)
        engine.begin()
        given = {name: torch.from_numpy(value) for name, value in seen.items()}
        with torch.inference_mode():
            state, told = head.begin(checkpoint.module.fused(**given))
            for token, place in zip([head.tokens.size, *WRITTEN], places, strict=True):
                scores, state = head.step(torch.tensor([token]), torch.tensor([place]), told, state)
                engine.spelling.token, engine.spelling.place = token, place
                engine.spelling.finished = False
                engine.advance(1)
                found = engine._step.outputs["scores"]
                worst = max(worst, float(np.abs(found - scores.numpy()).max()))
    return worst
