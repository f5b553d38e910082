"""A whole pass of a backbone's plans on nothing but darkness and silence, to be timed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from neon_edge.engine.contract import Engine
from neon_edge.engine.manifest import BackboneManifest
from neon_edge.features.backbone import Backbone
from neon_edge.features.streams import StreamedBackbone
from neon_edge.types import AudioWindow, CameraFrame

_LONG_NS = 10**12
"""So far apart that every encoder is due at each pass."""


def open_pass(
    backbone: BackboneManifest, directory: Path, engines: list[Engine], instruction: str
) -> tuple[Callable[[], None], Callable[[], None]]:
    """How to make one pass, and how to free the engines.

    Of a streamed backbone every sense is encoded in each; words are read once, as on a robot.
    """
    image = backbone.image
    black = np.zeros((image.height, image.width, 3), np.uint8)
    frames = [CameraFrame(black, 1, "black")] * image.count
    if backbone.streams is None:
        plain = Backbone(backbone, directory, engines, remember=False)
        plain.see(frames)
        plain.instruct(instruction)
        return plain.infer, plain.close
    streamed = StreamedBackbone(backbone, directory, engines)
    streamed.instruct(instruction)
    audio, now_ns = backbone.audio, 0

    def infer() -> None:
        nonlocal now_ns
        now_ns += _LONG_NS
        streamed.see(frames)
        if audio is not None:
            silence = np.zeros(audio.samples, np.float32)
            streamed.hear(AudioWindow(silence, audio.rate_hz, now_ns))
        streamed.infer()

    return infer, streamed.close
