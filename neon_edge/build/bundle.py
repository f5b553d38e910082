"""Recipe + checkpoint → a portable bundle: graphs, host side, and torch's answers to check by."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import msgspec

from neon_edge import __version__
from neon_edge.backbones.contract import Joined
from neon_edge.build.answers import answers, judged_on
from neon_edge.build.calibrate.moments import CalibrationSet, checked, fingerprint
from neon_edge.build.compile import Tell
from neon_edge.build.export import export_backbone
from neon_edge.build.heads import ATTENDED, UNATTENDED, can_attend, export_heads
from neon_edge.build.joined import open_all_weights
from neon_edge.build.ledger import Ledger, key_of, sources_key
from neon_edge.build.match import check_match
from neon_edge.build.placed import PART, restore
from neon_edge.build.recipe import Recipe
from neon_edge.build.samples import FILE_NAME, write_samples
from neon_edge.build.verify_diffusion import SATURATES
from neon_edge.build.weights import Weights
from neon_edge.checkpoint.load import Checkpoint, load_checkpoint
from neon_edge.engine.manifest import HeadsManifest, Manifest, Verification, write_manifest

VERSIONS = ("torch", "transformers", "onnx", "onnxscript", "numpy")
CODE = ("build", "backbones", "checkpoint")
"""Folders that shape what is in a bundle."""


def make_bundle(
    recipe: Recipe,
    checkpoint_directory: Path,
    weights: str | None,
    bundle: Path,
    held_out: CalibrationSet,
    tell: Tell,
) -> Manifest:
    """Write the bundle whole or not at all; one that was interrupted goes on where it stood.

    Its plans will be judged on `held_out`. Raises `ConfigWrong`.
    """
    checkpoint = load_checkpoint(checkpoint_directory)
    check_match(recipe, checkpoint)
    names, image = ",".join(checkpoint.actions.joint_names), recipe.adaptor.image
    seen = checked(held_out, image.count, names, image.window)
    restore(bundle)
    partial = bundle.with_name(bundle.name + PART)
    source = open_all_weights(weights, recipe, checkpoint.set_aside)
    steps = Ledger(partial, _key(recipe, checkpoint, source, fingerprint(held_out)), 2, tell)
    tell(f"export {recipe.name} from {source.origin} (licence {recipe.text.licence})")
    for line in recipe.adaptor.lost() if isinstance(recipe.adaptor, Joined) else ():
        tell(f"LOST: {line}")
    for line in source.moving:
        tell(f"MOVING: {line}")
    backbone = export_backbone(recipe, source, partial, steps)
    heads = steps.step(
        "export heads",
        HeadsManifest,
        lambda: export_heads(
            checkpoint,
            partial,
            backbone.model_hash,
            backbone.shown if can_attend(checkpoint) else 0,
        ),
        lambda heads: [*(part.onnx for part in heads.parts), *heads.files],
    )

    def sampled() -> str:
        return write_samples(partial, answers(checkpoint, recipe, source, seen))

    if heads.head_type in ("dit", "ensemble"):
        tell(SATURATES)
    if can_attend(checkpoint):
        tell(ATTENDED if heads.attended else UNATTENDED)
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
            instruction=held_out.instructions[0],
            pooled_relative=recipe.gates.pooled_relative,
            joint_rad=recipe.gates.joint_rad,
            judged=judged_on(held_out, recipe),
        ),
    )
    write_manifest(partial, manifest)
    steps.close(bundle)
    return manifest


def _key(recipe: Recipe, checkpoint: Checkpoint, source: Weights, held_out: str) -> str:
    """Everything that the bundle is made from, our own code included."""
    package = Path(__file__).parent.parent
    return key_of(
        msgspec.to_builtins(recipe.text),
        [source.origin, source.sha256],
        [str(checkpoint.directory), checkpoint.weights_sha256, checkpoint.tokenizer_sha256],
        held_out,
        [version(package) for package in VERSIONS],
        [__version__, sources_key(*(package / name for name in CODE))],
    )
