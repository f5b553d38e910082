"""What the host gives the encoders of a streamed backbone for moments of whole windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neon_edge.build.calibrate.moments import CalibrationSet
from neon_edge.build.samples import camera_frames
from neon_edge.engine.manifest import BackboneManifest, Part
from neon_edge.features.clip_window import ClipWindow
from neon_edge.features.fusion import pool_weights
from neon_edge.features.prompt import PromptEncoder
from neon_edge.types import Float32


def streamed_feeds(
    bundle: Path, backbone: BackboneManifest, moments: CalibrationSet
) -> list[dict[str, Float32]]:
    """Patches of each window, and the rows of its instruction where text reaches the features.

    Sound is not among them: a part that hears is refused by who reads these, with the reason.
    """
    streams = backbone.streams
    assert streams is not None
    clip = ClipWindow(backbone.image, streams.rates.window_hz)
    patches = _spec(backbone.parts[0])
    feeds: list[dict[str, Float32]] = []
    room = backbone.prompt.text_tokens
    kept = streams.kept.get("text", 0)
    prompt = PromptEncoder(backbone.prompt, bundle, room) if kept else None
    for frames, instruction in zip(moments.frames, moments.instructions, strict=True):
        clip.see(camera_frames(frames))
        fed: dict[str, Float32] = {"video_patches": np.empty(patches, np.float32)}
        clip.fill(fed["video_patches"])
        told = np.ones((1, room), np.float32)
        if prompt is not None:
            fed["text_embeds"], told = prompt.encode(instruction)
            fed["text_weights"] = told
        fed["pool_weights"] = pool_weights(backbone.tokens, kept, told)
        feeds.append(fed)
    return feeds


def _spec(part: Part) -> list[int]:
    return next(spec.shape for spec in part.inputs if spec.name == "video_patches")
