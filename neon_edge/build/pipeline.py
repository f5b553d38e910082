"""The build as one expression: make a bundle unless one is given, then compile and verify it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neon_edge.build.compile import Tell, compile_bundle
from neon_edge.engine.manifest import FILE_NAME, EngineKind, read_manifest
from neon_edge.errors import UsageWrong

BUILT = Path("engines/built")
BUNDLE = "bundle"


@dataclass(frozen=True)
class BuildRequest:
    """What the command line asks for."""

    recipe: str
    """A recipe's name or directory, or the directory of a bundle."""
    checkpoint: Path | None = None
    weights: str | None = None
    out: Path | None = None
    bundle_only: bool = False
    engine: EngineKind = "onnxruntime"
    clip: str = ""
    threads: int = 1


def build(request: BuildRequest, tell: Tell) -> Path:
    """The directory of what was asked for: the bundle, or verified plans of it."""
    given = Path(request.recipe)
    if (given / FILE_NAME).is_file():
        out = request.out or BUILT / read_manifest(given).backbone.recipe
        return compile_bundle(given, out, request.engine, request.threads, tell)
    bundle = _bundle(request, tell)
    if request.bundle_only:
        return bundle
    return compile_bundle(bundle, bundle.parent, request.engine, request.threads, tell)


def _bundle(request: BuildRequest, tell: Tell) -> Path:
    # Here and not above: a machine that only compiles has no torch.
    from neon_edge.build.bundle import CLIP, make_bundle
    from neon_edge.build.recipe import load_recipe

    if request.checkpoint is None:
        raise UsageWrong(
            "a recipe needs the heads that go with it",
            f"recipe {request.recipe!r}, no checkpoint",
            "add --checkpoint DIR; scripts/make_checkpoint.py makes one for demos",
        )
    recipe = load_recipe(request.recipe)
    bundle = (request.out or BUILT / recipe.name) / BUNDLE
    clip = request.clip or CLIP
    make_bundle(recipe, request.checkpoint, request.weights, bundle, clip, tell)
    return bundle
