"""The reference, streamed and in batches, against the model in one piece."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neon_edge.build.recipe import load_recipe
from neon_edge.build.reference import ReferenceBackbone
from neon_edge.build.weights import open_weights
from neon_edge.types import CameraFrame
from tests.tiny_backbone import ENGINES

INSTRUCTION = "Pick up the red cup."


@pytest.mark.parametrize("name", ["qwen_omni_tiny", "qwen_vl_tiny", "cosmos_reason2_tiny"])
def test_streamed_batches_equal_the_model_in_one_piece(
    name: str, frames: list[CameraFrame]
) -> None:
    recipe = load_recipe(ENGINES / name)
    reference = ReferenceBackbone(recipe)
    said = [INSTRUCTION, "Wave.", INSTRUCTION]
    each = reference.pooled_each([[frame] for frame in frames[:3]], said)
    pairs = zip(frames[:3], said, strict=True)
    alone = np.stack([reference.pooled([frame], text) for frame, text in pairs])
    assert np.abs(each - alone).max() <= 2e-6 * np.abs(alone).max()

    streamed = reference._model  # type: ignore[attr-defined]
    held = [n for n, t in streamed._model.state_dict().items() if not t.is_meta]
    assert not [n for n in held if ".layers." in n or ".blocks." in n or "embed_tokens" in n]

    network = recipe.adaptor.network  # type: ignore[attr-defined]
    whole = network.filled(network.empty(), "", open_weights(None, recipe))
    network.restore(whole)
    streamed._model = whole
    with torch.no_grad():
        assert np.array_equal(reference.pooled(frames[:1], INSTRUCTION), alone[0])
