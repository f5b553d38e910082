"""What every part of a float backbone is fed on a calibration set, one part at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from neon_edge.build.calibrate.moments import CalibrationSet
from neon_edge.build.streamed_feeds import heard, streamed_feeds
from neon_edge.engine.manifest import BackboneManifest, Part
from neon_edge.errors import ConfigWrong
from neon_edge.features.audio import LogMel
from neon_edge.features.preprocess import Preprocessor
from neon_edge.features.prompt import PromptEncoder
from neon_edge.types import Float32

Feeds = list[dict[str, Float32]]


def host_feeds(bundle: Path, backbone: BackboneManifest, moments: CalibrationSet) -> Feeds:
    """What the host gives the first parts for every moment."""
    if backbone.streams is not None:
        return streamed_feeds(bundle, backbone, moments)
    image = backbone.image
    preprocessor = Preprocessor(image)
    prompt = PromptEncoder(backbone.prompt, bundle, backbone.tokens, image.steps)
    mels = None
    if (audio := backbone.audio) is not None:
        sounds, log_mel = heard(audio, moments), LogMel(audio)
        mels = np.empty((len(sounds), audio.mels, audio.frames), np.float32)
        for sound, mel in zip(sounds, mels, strict=True):
            log_mel.fill(sound, mel)
    feeds: Feeds = []
    for frames, instruction in zip(moments.frames, moments.instructions, strict=True):
        patches = np.empty((image.steps * image.patches, image.patch_width), np.float32)
        preprocessor.fill_pass(frames, patches)
        embeds, weights = (np.array(value, np.float32) for value in prompt.encode(instruction))
        ear = {} if mels is None else {"mel": mels[len(feeds)]}
        feeds.append({**ear, "patches": patches, "text_embeds": embeds, "pool_weights": weights})
    return feeds


def part_feeds(
    bundle: Path, backbone: BackboneManifest, known: Feeds, threads: int
) -> Iterator[tuple[Part, Feeds]]:
    """Each part and its inputs for every moment; one part's session at a time.

    `known` ends as what the last part makes: a tensor goes behind the last part that reads it.
    A vision part that takes one picture at a time has as many inputs a moment, moment by moment.
    """
    for number, part in enumerate(backbone.parts):
        pieces = backbone.image.steps if backbone.vision_apart and number == 0 else 1
        fed = [
            _shaped(part, {name: _piece(value, k, pieces) for name, value in tensors.items()})
            for tensors in known
            for k in range(pieces)
        ]
        yield part, fed
        session = _session(bundle / part.onnx, threads)
        names = [spec.name for spec in part.outputs]
        made = [session.run(names, inputs) for inputs in fed]
        for row, tensors in enumerate(known):
            several = zip(*made[row * pieces : (row + 1) * pieces], strict=True)
            whole = (
                values[0] if pieces == 1 else np.concatenate(values, axis=1) for values in several
            )
            tensors.update(zip(names, whole, strict=True))
            read = {spec.name for later in backbone.parts[number + 1 :] for spec in later.inputs}
            for name in set(tensors) - (read or set(names)):
                del tensors[name]


def _piece(value: Float32, number: int, pieces: int) -> Float32:
    """The rows of one picture of several that pass a part one by one."""
    rows = len(value) // pieces
    return value if pieces == 1 else value[number * rows : (number + 1) * rows]


def _shaped(part: Part, tensors: Mapping[str, Any]) -> dict[str, Any]:
    unknown = [spec.name for spec in part.inputs if spec.name not in tensors]
    if unknown:
        raise ConfigWrong(
            f"part {part.name!r} cannot be calibrated from pictures, words and sound",
            f"it reads {', '.join(unknown)}, which no calibration set holds",
            "build this backbone in float",
        )
    return {
        spec.name: _fitted(tensors[spec.name], spec.shape).astype(spec.dtype, copy=False)
        for spec in part.inputs
    }


def _fitted(value: Float32, shape: Sequence[int]) -> Float32:
    """The same numbers; a step of half a second stands for all until others have come."""
    return value.reshape(shape) if value.size == np.prod(shape) else np.broadcast_to(value, shape)


def _session(graph: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
