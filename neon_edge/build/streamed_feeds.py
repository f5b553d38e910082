"""What the host gives the encoders of a streamed backbone for moments of whole windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neon_edge.build.calibrate.moments import CalibrationSet
from neon_edge.build.samples import camera_frames
from neon_edge.engine.manifest import AudioGeometry, BackboneManifest
from neon_edge.errors import ConfigWrong
from neon_edge.features.clip_window import ClipWindow
from neon_edge.features.filterbank import FilterBank
from neon_edge.features.fusion import pool_weights
from neon_edge.features.prompt import PromptEncoder
from neon_edge.types import AudioWindow, Float32


def streamed_feeds(
    bundle: Path, backbone: BackboneManifest, moments: CalibrationSet
) -> list[dict[str, Float32]]:
    """Patches of each window, rows of its sound and of its instruction: of what is encoded.

    Every sense is there. Raises `ConfigWrong` where the set is mute and the backbone listens.
    """
    streams, audio = backbone.streams, backbone.audio
    assert streams is not None
    shapes = {spec.name: spec.shape for part in backbone.parts for spec in part.inputs}
    clip = ClipWindow(backbone.image, streams.rates.window_hz)
    sounds = heard(audio, moments) if audio is not None else []
    bank = FilterBank(audio.samples) if audio is not None else None
    room, kept = backbone.prompt.text_tokens, streams.kept.get("text", 0)
    prompt = PromptEncoder(backbone.prompt, bundle, room) if kept else None
    feeds: list[dict[str, Float32]] = []
    for frames, instruction in zip(moments.frames, moments.instructions, strict=True):
        fed: dict[str, Float32] = {"present": np.ones((1, len(streams.kept)), np.float32)}
        if "video_patches" in shapes:
            clip.see(camera_frames(frames))
            fed["video_patches"] = np.empty(shapes["video_patches"], np.float32)
            clip.fill(fed["video_patches"])
        if bank is not None:
            fed["audio_rows"] = np.empty(shapes["audio_rows"], np.float32)
            bank.fill(sounds[len(feeds)], fed["audio_rows"])
        told = np.ones((1, room), np.float32)
        if prompt is not None:
            fed["text_embeds"], told = prompt.encode(instruction)
            fed["text_weights"] = told
        fed["pool_weights"] = pool_weights(backbone.tokens, kept, told)
        feeds.append(fed)
    return feeds


def heard(audio: AudioGeometry, moments: CalibrationSet) -> list[AudioWindow]:
    """What was heard up to each moment. Raises `ConfigWrong` where the set is mute."""
    if moments.sounds is None:
        raise ConfigWrong(
            "the calibration set holds no sound, and this backbone listens",
            f"{len(moments.names)} moments without, {audio.samples / audio.rate_hz:g} s a pass",
            "calibrate on a clip with a sound track, or set audio_seconds = 0 in the recipe",
        )
    return [AudioWindow(sound, moments.rate_hz, 1) for sound in moments.sounds]
