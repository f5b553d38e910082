"""JSON beside a plan: what it was made from, on, for, and which gates it passed.

A *bundle* directory holds portable ONNX and a manifest without plans; a *plans* directory holds
plans compiled from a bundle on the machine that runs them, and the same manifest completed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field, structs

from neon_edge.engine.attended import TOKENS
from neon_edge.engine.fast import FastManifest
from neon_edge.engine.geometry import AudioGeometry, ImageGeometry
from neon_edge.engine.prompt import Prompt
from neon_edge.engine.streams import Streams
from neon_edge.engine.verification import Candidate, ErrorRow, Gate, Judged, Verification
from neon_edge.errors import ConfigWrong

__all__ = [
    "FILE_NAME",
    "FORMAT",
    "AudioGeometry",
    "BackboneManifest",
    "Candidate",
    "EngineKind",
    "ErrorRow",
    "FastManifest",
    "Gate",
    "HeadsManifest",
    "ImageGeometry",
    "Judged",
    "Machine",
    "Manifest",
    "Part",
    "Prompt",
    "TensorSpec",
    "Verification",
    "WeightsSource",
    "read_manifest",
    "write_manifest",
]

FILE_NAME = "manifest.json"
FORMAT = 1

EngineKind = Literal["onnxruntime", "tensorrt", "tensorrt-rtx"]


class TensorSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One input or output of a graph: fixed shape, NumPy dtype name."""

    name: str
    shape: list[int]
    dtype: str = "float32"


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """One graph and, once compiled, its plan. Files are relative to the manifest.

    Parts run in order; an input that is not an earlier part's output is fed by the host.
    """

    name: str
    onnx: str
    onnx_sha256: str
    """Of the graph file and its external weights, in that order."""
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    plan: str = ""
    plan_sha256: str = ""


class WeightsSource(Struct, frozen=True, forbid_unknown_fields=True):
    """One of several that a backbone's weights come from."""

    name: str
    """Which of its encoders, or its fusion."""
    model_id: str
    """Where it is published, as the recipe says; empty where it does not."""
    revision: str
    """The commit that was read; of a folder nobody can tell, and it is the recipe's."""
    licence: str
    sha256: str
    """Of the files that hold its tensors."""


class BackboneManifest(Struct, frozen=True, forbid_unknown_fields=True):
    """The backbone's pooled-feature path."""

    recipe: str
    family: str
    model_id: str
    revision: str
    licence: str
    weights: str
    """Where the weights came from: a directory, a hub id, or random:SEED."""
    weights_sha256: str
    tap: str
    pooled_width: int
    tokens: int
    model_hash: str
    """16 hex digits over everything that shapes the features; heads accept no other."""
    image: ImageGeometry
    prompt: Prompt
    parts: list[Part]
    audio: AudioGeometry | None = None
    """Absent where the backbone does not listen."""
    quantised: str = ""
    """int8 (W8A8) or int4 (weights in groups) where its Linears are, else empty."""
    float_layers: list[str] = field(default_factory=list)
    """Linears, as PART/NAME, that quantisation left alone so that the gate passes."""
    vision_apart: bool = False
    """The first part takes one picture at a time, and the host remembers what it made of each."""
    precision: str = "fp32"
    """Of products: fp32, fp16 or bf16; what lies between them is always float32."""
    streams: Streams | None = None
    """Where every sense has an encoder and a rate of its own; `image` is then a video window."""
    sources: list[WeightsSource] = field(default_factory=list)
    """Where the weights come from, if from several places; `weights_sha256` covers them all."""

    @property
    def random(self) -> bool:
        """True if no training ever touched these weights."""
        return self.weights.startswith("random:")

    @property
    def shown(self) -> int:
        """Rows of the token sequence that goes out beside the pooled features, of their width.

        0 where the recipe asks for none.
        """
        return _rows(spec for part in self.parts for spec in part.outputs)

    @property
    def reads(self) -> bool:
        """Whether an instruction changes the features."""
        return self.streams is None or self.streams.reads

    @property
    def cameras(self) -> int:
        """That a robot must have: all pictures of a window are of one."""
        return self.image.count // self.image.window if self.streams is None else 1


class HeadsManifest(Struct, frozen=True, forbid_unknown_fields=True):
    """The action heads on one backbone."""

    checkpoint: str
    checkpoint_sha256: str
    backbone_id: str
    """The model id that the checkpoint was trained on."""
    backbone_hash: str
    head_type: str
    control_mode: str
    joint_names: list[str]
    """In the order of the chunk's columns; base velocities (m/s, m/s, rad/s) stand behind them."""
    base_velocity: bool
    steps: int
    sensors: list[TensorSpec]
    part: Part
    """Runs every tick."""
    random: bool = False
    grippers: list[str] = field(default_factory=list)
    """Joints whose column is an opening from 0 to 1 and no angle."""
    slow_parts: list[Part] = field(default_factory=list)
    """Each runs when its input changes; its outputs are inputs of `part`."""
    step_part: Part | None = None
    """Behind `part`, as often as the host needs it: a diffusion head's noise prediction, a `fast`
    head's next token, a `jepa` head's decoder."""
    row_part: Part | None = None
    """In place of `part` where one row of the chunk is enough, its number the int32 input `row`."""
    noise: TensorSpec | None = None
    """Standard normal, drawn by the host, where the heads sample."""
    guided_parts: list[Part] = field(default_factory=list)
    """A flow's condition, velocity and pull-back, in place of `part` where the host guides it."""
    prefix_rows: int = 0
    """First rows of a chunk that a flow was trained to continue when given; 0: it was not."""
    fast: FastManifest | None = None
    """Only with `fast` heads."""

    @property
    def attended(self) -> int:
        """Rows of the backbone's token sequence that these heads attend to; 0 for none."""
        return _rows(spec for part in self.slow_parts for spec in part.inputs)

    @property
    def parts(self) -> list[Part]:
        """All parts, in the order in which they run; behind, what runs in place of others."""
        others = [each for each in (self.step_part, self.row_part) if each is not None]
        return [*self.slow_parts, self.part, *others, *self.guided_parts]

    @property
    def files(self) -> list[str]:
        """What they need beside their graphs and plans."""
        return [] if self.fast is None else [self.fast.tokenizer]

    def with_parts(self, parts: list[Part]) -> HeadsManifest:
        """The same heads with other `parts`, such as compiled ones, in the same order."""
        left = iter(parts)
        return structs.replace(
            self,
            slow_parts=list(islice(left, len(self.slow_parts))),
            part=next(left),
            step_part=self.step_part and next(left),
            row_part=self.row_part and next(left),
            guided_parts=list(left),
        )


def _rows(specs: Iterable[TensorSpec]) -> int:
    return next((spec.shape[1] for spec in specs if spec.name == TOKENS), 0)


class Machine(Struct, frozen=True, forbid_unknown_fields=True):
    """What a plan is tied to. Two machines that differ here do not share plans."""

    engine: EngineKind
    engine_version: str
    architecture: str
    """x86_64 or aarch64."""
    device: str
    """CPU model, or GPU name and compute capability."""


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    neon_edge: str
    created: str
    """UTC, ISO 8601."""
    backbone: BackboneManifest
    heads: HeadsManifest
    versions: dict[str, str]
    """Of the libraries that made it."""
    made_on: str
    verification: Verification
    machine: Machine | None = None
    """Absent in a bundle."""
    gates: list[Gate] = field(default_factory=list)
    errors: list[ErrorRow] = field(default_factory=list)
    """Per joint, then the pooled features."""
    candidates: list[Candidate] = field(default_factory=list)
    """What `--precision auto` chose from."""
    format: int = FORMAT


def read_manifest(directory: Path) -> Manifest:
    """Read a bundle's or a plans directory's manifest. Raises `ConfigWrong`."""
    path = directory / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as failure:
        raise ConfigWrong(
            f"no plans in {directory}",
            f"{path}: {failure.strerror}",
            "build them: scripts/build_engines.sh RECIPE --checkpoint DIR",
        ) from None
    except msgspec.MsgspecError as failure:
        raise ConfigWrong(
            f"{path} is not a manifest we can read", str(failure), "build the plans again"
        ) from None


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write it whole or not at all: a manifest is what makes a directory of files a build."""
    partial = directory / (FILE_NAME + ".part")
    with partial.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(directory / FILE_NAME)
