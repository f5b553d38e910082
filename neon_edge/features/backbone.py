"""One pass of the backbone: pictures and an instruction → pooled features, part after part."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from neon_edge.engine.attended import TOKENS
from neon_edge.engine.contract import Array, Engine
from neon_edge.engine.manifest import BackboneManifest
from neon_edge.errors import ConfigWrong, PlanUnfit
from neon_edge.features.audio import LogMel
from neon_edge.features.picture_window import PictureWindow
from neon_edge.features.preprocess import Preprocessor
from neon_edge.features.prompt import PromptEncoder
from neon_edge.features.vision import VisionApart
from neon_edge.types import AudioWindow, CameraFrame, Float32


def instruction_id(text: str) -> int:
    """A number that names an instruction; carried by every feature made under it."""
    return zlib.crc32(text.encode("utf-8")) | 1 << 32


class Backbone:
    """The parts of a backbone, chained by tensor name over their own buffers.

    An input that an earlier part produces is copied from it; `patches`, `mel`, `text_embeds` and
    `pool_weights` are the host's. `directory` holds the tokenizer and the embedding table.
    `remember` is for measuring what remembering pictures saves, where the recipe does. There, a
    pass of which nothing is new is not computed either: `pooled` holds its result already.
    """

    def __init__(
        self,
        manifest: BackboneManifest,
        directory: Path,
        engines: list[Engine],
        remember: bool = True,
    ) -> None:
        self._engines = engines
        self._preprocessor = Preprocessor(manifest.image)
        self._prompt = PromptEncoder(
            manifest.prompt, directory, manifest.tokens, manifest.image.steps
        )
        self._pictures = manifest.image.count
        self._cameras = manifest.cameras
        self._window = PictureWindow(self._cameras, manifest.image.window, manifest.image.window_hz)
        self._ear = LogMel(manifest.audio) if manifest.audio is not None else None
        self.apart = (
            VisionApart(engines[0], self._preprocessor, manifest.image, remember)
            if manifest.vision_apart
            else None
        )
        self._hosted, self._links = _wire(engines)
        if self.apart is not None:
            _rewire(engines, self.apart.outputs, self._links)
        self._check_geometry(engines[0], manifest)
        self.pooled: Float32 = engines[-1].outputs["pooled"].reshape(-1)
        """(width,) float32, overwritten by every pass."""
        if self.pooled.size != manifest.pooled_width:
            raise PlanUnfit(
                "the backbone plan has another width than its manifest",
                f"{self.pooled.size} against {manifest.pooled_width}",
                "build the plans again",
            )
        self.instruction_id = 0
        shown = engines[-1].outputs.get(TOKENS)
        self._shown: Float32 | None = None if shown is None else shown[0]
        self._count = 0
        self._remembers = self.apart is not None and remember
        self._changed = True

    def _check_geometry(self, vision: Engine, manifest: BackboneManifest) -> None:
        image = manifest.image
        steps = 1 if manifest.vision_apart else image.steps
        wanted = (steps * image.patches, image.patch_width)
        if (found := vision.inputs["patches"].shape) != wanted:
            raise PlanUnfit(
                "the vision plan takes other pictures than its manifest says",
                f"patches {found} against {wanted}: {image.count} pictures, {steps} at a time",
                "build the plans again",
            )

    def instruct(self, text: str) -> int:
        """Use `text` from the next pass on; gives its id.

        Raises `ConfigWrong` where it is too long, and leaves the one in use as it is.
        """
        text_embeds, pool_weights = self._prompt.encode(text)
        self._changed = True
        np.copyto(self._hosted["text_embeds"], text_embeds)
        np.copyto(self._hosted["pool_weights"], pool_weights)
        # Padding, which weighs nothing, stands behind all else.
        self._count = int(np.count_nonzero(pool_weights))
        self.instruction_id = instruction_id(text)
        return self.instruction_id

    def see(self, frames: list[CameraFrame]) -> None:
        """Preprocess the newest picture of each camera straight into the first part's buffer.

        Behind each go those of its window; or give all pictures of a pass at once.
        """
        if len(frames) == self._cameras < self._pictures:
            frames = self._window.see(frames)
        if len(frames) != self._pictures:
            raise ConfigWrong(
                "the robot has another number of cameras than the backbone was built for",
                f"{len(frames)} against {self._cameras}",
                "change the robot file's cameras, or the recipe's pictures, and build again",
            )
        if self.apart is not None:
            self._changed |= self.apart.see(frames)
            return
        self._preprocessor.fill_pass([frame.image for frame in frames], self._hosted["patches"])

    @property
    def tokens(self) -> Float32 | None:
        """(count, width) that `pooled` is the mean of, padding left away; overwritten as it is.

        None where the recipe does not ask for them.
        """
        return None if self._shown is None else self._shown[: self._count]

    @property
    def listens(self) -> bool:
        """Whether every pass needs a window of sound."""
        return self._ear is not None

    def hear(self, window: AudioWindow) -> None:
        """Its log-mel spectrogram goes straight into the audio part's buffer.

        Raises `ConfigWrong` at another rate or length than the backbone was built for.
        """
        if self._ear is None:
            raise ConfigWrong(
                "this backbone does not listen",
                "it was built without a window of sound",
                "set audio_seconds in the recipe and build again, or remove the microphone",
            )
        self._changed = True
        self._ear.fill(window, self._hosted["mel"])

    def infer(self) -> None:
        """Run every part; `pooled` holds the result."""
        if not self._changed:
            return
        for engine, links in zip(self._engines, self._links, strict=True):
            if self.apart is not None and engine is self._engines[0]:
                self.apart.infer()
                continue
            for source, target in links:
                np.copyto(target, source)
            engine.start()
            engine.wait()
        # Only remembered pictures are compared with the last ones; nothing broken is kept.
        self._changed = not self._remembers or not bool(np.isfinite(self.pooled).all())

    def close(self) -> None:
        """Free the engines."""
        for engine in self._engines:
            engine.close()


def _rewire(
    engines: list[Engine], seen: Mapping[str, Array], links: list[list[tuple[Array, Array]]]
) -> None:
    """Whoever reads the vision part reads what was put together of all pictures."""
    alone = engines[0].outputs
    for copies in links:
        for number, (source, target) in enumerate(copies):
            for name, array in alone.items():
                if source is array:
                    copies[number] = (seen[name], target)


def _wire(
    engines: list[Engine],
) -> tuple[dict[str, Array], list[list[tuple[Array, Array]]]]:
    """Which inputs the host fills, and per part which buffers are copied before it runs."""
    made: dict[str, Array] = {}
    hosted: dict[str, Array] = {}
    links: list[list[tuple[Array, Array]]] = []
    for engine in engines:
        copies = [(made[name], buffer) for name, buffer in engine.inputs.items() if name in made]
        hosted |= {name: buffer for name, buffer in engine.inputs.items() if name not in made}
        made |= dict(engine.outputs)
        links.append(copies)
    return hosted, links
