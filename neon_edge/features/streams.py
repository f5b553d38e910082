"""One pass of a backbone whose senses are encoded apart: only what is due runs, then the fusion.

    newest picture ─▶ window ─ video_hz ─▶ video ──┐
    window of sound ───────── audio_hz ─▶ audio ──┼▶ fusion, every pass ─▶ pooled
    instruction ───── when it changes ──▶ text ───┘

A sense that is missing is zeros in the fusion, as upstream's modality dropout trained it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from neon_edge.engine.contract import Array, Engine
from neon_edge.engine.manifest import BackboneManifest
from neon_edge.errors import ConfigWrong, PlanUnfit
from neon_edge.features.backbone import Backbone, instruction_id
from neon_edge.features.clip_window import ClipWindow
from neon_edge.features.filterbank import FilterBank
from neon_edge.features.fusion import open_fusion
from neon_edge.features.prompt import PromptEncoder
from neon_edge.types import AudioWindow, CameraFrame, Float32

_NS = 1_000_000_000
_HOSTED = {"video": "video_patches", "audio": "audio_rows", "text": "text_embeds"}


class Branch:
    """One encoder's parts in their order. `ran` counts its passes.

    `weights` are the buffers of how a text's tokens weigh, where it is read as steps.
    """

    def __init__(self, engines: list[Engine], hosted: str) -> None:
        self._engines = engines
        self.input: Array = engines[0].inputs[hosted]
        self.weights = [e.inputs["text_weights"] for e in engines if "text_weights" in e.inputs]
        self.ran = 0

    def run(self) -> dict[str, Array]:
        """Outputs of the last part, overwritten by every run."""
        known: dict[str, Array] = {}
        for engine in self._engines:
            for name, buffer in engine.inputs.items():
                if name in known:
                    np.copyto(buffer, known[name])
            engine.start()
            engine.wait()
            known = dict(engine.outputs)
        self.ran += 1
        return known


class StreamedBackbone:
    """As `Backbone`, for a manifest with `streams`. Due times count on the sensors' stamps."""

    def __init__(self, manifest: BackboneManifest, directory: Path, engines: list[Engine]) -> None:
        streams = manifest.streams
        assert streams is not None
        self._engines = engines
        self._kept = streams.kept
        self._rates = streams.rates
        self.branches = _branches(manifest, engines)
        self._fusion = open_fusion(streams, engines[-1])
        self._clip = ClipWindow(manifest.image, streams.rates.window_hz)
        self._ear = FilterBank(manifest.audio.samples) if manifest.audio is not None else None
        self._prompt = None
        if "text" in self.branches:
            room = manifest.prompt.text_tokens
            self._prompt = PromptEncoder(manifest.prompt, directory, room)
        self.pooled: Float32 = engines[-1].outputs["pooled"].reshape(-1)
        """(width,) float32, overwritten by every pass."""
        if self.pooled.size != manifest.pooled_width:
            raise PlanUnfit(
                "the backbone plan has another width than its manifest",
                f"{self.pooled.size} against {manifest.pooled_width}",
                "build the plans again",
            )
        self.tokens: Float32 | None = None
        """This family gives out none."""
        self.instruction_id = 0
        self.missing: frozenset[str] = frozenset()
        """Senses that are zeros in the features of the last pass."""
        self._due: set[str] = set()
        self._changed = False
        self._encoded_ns: dict[str, int] = {}

    def instruct(self, text: str) -> int:
        """Use `text` from the next pass on; gives its id, or 0 where no word reaches the features.

        Raises `ConfigWrong` where it is too long, and leaves the one in use as it is.
        """
        if self._prompt is None:
            return 0
        rows, weights = self._prompt.encode(text)
        branch = self.branches["text"]
        np.copyto(branch.input, rows)
        for steps in branch.weights:
            np.copyto(steps, weights)
        self._fusion.told(weights)
        self._due.add("text")
        self.instruction_id = instruction_id(text)
        return self.instruction_id

    @property
    def due(self) -> bool:
        """Whether the next pass would make other features than the last."""
        return bool(self._due - self.missing) or self._changed

    @property
    def alive(self) -> bool:
        """Whether any sense is there: features of nothing but words show no world to act in."""
        return bool(self.senses - self.missing)

    @property
    def seen_ns(self) -> int:
        """When what the features show was taken: the newest picture of the encoded window.

        Of a blind robot, the end of the sound that it goes by.
        """
        known = self._encoded_ns
        return known.get("video", known.get("audio", 0))

    def see(self, frames: list[CameraFrame]) -> None:
        """The camera's newest picture, or a whole window; encoded in `infer` if that is due."""
        if "video" not in self.branches:
            return
        whole = len(frames) > 1
        if whole:
            # Another moment altogether: nothing of the one before stands beside it.
            self._fusion.drop("video")
        if self._clip.see(frames) and (whole or self._is_due("video", self._clip.newest_ns)):
            self._clip.fill(self.branches["video"].input)
            self._encode("video", self._clip.newest_ns)

    @property
    def listens(self) -> bool:
        """Whether sound reaches the features."""
        return self._ear is not None

    def hear(self, window: AudioWindow) -> None:
        """The newest window of sound; encoded in `infer` if that is due.

        Raises `ConfigWrong` at another rate or length than the backbone was built for.
        """
        if self._ear is None:
            raise ConfigWrong(
                "this backbone does not listen",
                "no sound reaches its fusion",
                "give audio a budget in the recipe and build again, or remove the microphone",
            )
        if self._is_due("audio", window.captured_ns):
            self._ear.fill(window, self.branches["audio"].input)
            self._encode("audio", window.captured_ns)

    def miss(self, senses: Collection[str]) -> None:
        """From the next pass on these senses are zeros; all others are there again."""
        gone = frozenset(name for name in senses if name in self.branches)
        self._changed |= gone != self.missing
        for name in gone - self.missing:
            self._due.discard(name)
            self._encoded_ns.pop(name, None)
            self._fusion.drop(name)
            if name == "video":
                self._clip.forget()
        self.missing = gone

    @property
    def senses(self) -> frozenset[str]:
        """Those of video and audio that reach the features."""
        return frozenset(self.branches) - {"text"}

    def infer(self) -> None:
        """Run what is due, then the fusion; `pooled` holds the result."""
        for name in sorted(self._due - self.missing):
            made = self.branches[name].run()
            self._fusion.put(name, made, self._encoded_ns.get(name, 0))
            # What is broken is computed again, never kept until the next turn.
            if all(np.isfinite(array).all() for array in made.values()):
                self._due.discard(name)
        self._fusion.run()
        self._changed = False

    def close(self) -> None:
        """Free the engines."""
        for engine in self._engines:
            engine.close()

    def _is_due(self, name: str, at_ns: int) -> bool:
        if name in self.missing:
            return False
        hertz = self._rates.video_hz if name == "video" else self._rates.audio_hz
        last = self._encoded_ns.get(name)
        return last is None or at_ns < last or at_ns - last >= round(_NS / hertz) * 3 // 4

    def _encode(self, name: str, at_ns: int) -> None:
        self._due.add(name)
        self._encoded_ns[name] = at_ns


def _branches(manifest: BackboneManifest, engines: list[Engine]) -> dict[str, Branch]:
    """Parts are named after their branch; the last one is the fusion."""
    found: dict[str, list[Engine]] = {}
    for part, engine in zip(manifest.parts[:-1], engines[:-1], strict=True):
        found.setdefault(part.name.partition("_")[0], []).append(engine)
    return {name: Branch(parts, _HOSTED[name]) for name, parts in found.items()}


def open_features(
    manifest: BackboneManifest, directory: Path, engines: list[Engine]
) -> Backbone | StreamedBackbone:
    """The parts of a backbone as its manifest says they run."""
    kind = Backbone if manifest.streams is None else StreamedBackbone
    return kind(manifest, directory, engines)
