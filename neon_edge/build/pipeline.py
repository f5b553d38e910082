"""The build as one expression: make a bundle unless one is given, then compile and verify it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neon_edge.build.compile import Tell, compile_bundle
from neon_edge.build.placed import alone, writing_in
from neon_edge.engine.manifest import FILE_NAME, EngineKind, Manifest, read_manifest
from neon_edge.errors import ConfigWrong, UsageWrong

if TYPE_CHECKING:
    from neon_edge.build.calibrate.moments import CalibrationSet, Taken
    from neon_edge.build.quantised_weights import QuantisedWeights

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
    precision: str = ""
    """none, int8, int4 or auto, in place of what the recipe says."""
    calibration: Path | None = None
    """A directory that `neon-edge calibrate` wrote; without one, moments come from `clip`."""


def build(request: BuildRequest, tell: Tell) -> Path:
    """The directory of what was asked for: the bundle, or verified plans of it.

    Raises `UsageWrong` where flags contradict one another or would mean nothing, before any work.
    """
    given = Path(request.recipe)
    if (given / FILE_NAME).is_file():
        manifest = read_manifest(given)
        _refuse_for_bundle(request, manifest)
        out = request.out or BUILT / manifest.backbone.recipe
        with writing_in(out), alone(out):
            return compile_bundle(given, out, request.engine, request.threads, tell)
    from neon_edge.build.recipe import load_recipe

    out = request.out or BUILT / load_recipe(request.recipe).name
    with writing_in(out):
        wanted, published = _wanted(request)
        with alone(out):
            return _from_recipe(request, wanted, published, tell)


def _refuse_for_bundle(request: BuildRequest, manifest: Manifest) -> None:
    """A bundle is compiled as it is: what it was made from and how is settled in it."""
    precision = manifest.backbone.quantised or "none"
    meaningless = {
        "--checkpoint": request.checkpoint,
        "--weights": request.weights,
        "--clip": request.clip,
        "--calibration": request.calibration,
        "--bundle-only": request.bundle_only,
        f"--precision {request.precision}": request.precision not in ("", precision),
    }
    for flag, used in meaningless.items():
        if used:
            raise UsageWrong(
                f"{flag} means nothing where a bundle is compiled",
                f"{request.recipe} holds recipe {manifest.backbone.recipe!r}, heads and samples, "
                f"precision {precision}",
                "build from the recipe, or leave the flag away",
            )


def _refuse_for_recipe(request: BuildRequest, wanted: str) -> None:
    source = "--precision" if request.precision else "the recipe's quantise.to"
    if wanted == "auto" and request.bundle_only:
        raise UsageWrong(
            "auto chooses by what plans measure, and a bundle alone is not compiled",
            f"{source} is auto, with --bundle-only",
            "add --precision none, int8 or int4, or leave --bundle-only away",
        )
    if request.clip and request.calibration is not None:
        raise UsageWrong(
            "plans are judged on the calibration set's own moments",
            f"--clip {request.clip} and --calibration {request.calibration}",
            "leave one of them away",
        )


def _wanted(request: BuildRequest) -> tuple[str, QuantisedWeights | None]:
    """The precision to quantise to, and the weights where others did it; both fit the flags."""
    from neon_edge.build.recipe import load_recipe

    # Ahead of weights that may have to be fetched.
    _refuse_for_recipe(request, request.precision)
    if request.checkpoint is None:
        raise UsageWrong(
            "a recipe needs the heads that go with it",
            f"recipe {request.recipe!r}, no checkpoint",
            "add --checkpoint DIR; scripts/make_checkpoint.py makes one for demos",
        )
    published = _published(request)
    stated = load_recipe(request.recipe).text.quantise.to
    wanted = "none" if published is not None else request.precision or stated
    _refuse_for_recipe(request, wanted)
    return wanted, published


def _from_recipe(
    request: BuildRequest, wanted: str, published: QuantisedWeights | None, tell: Tell
) -> Path:
    taken = _taken(request, quantised=wanted != "none" or published is not None)
    bundle = _bundle(request, taken.held_out, tell)
    if published is not None:
        bundle = _placed(request, published, bundle, tell)
    if wanted == "none":
        if request.bundle_only:
            return bundle
        return compile_bundle(bundle, bundle.parent, request.engine, request.threads, tell)
    return _quantised(request, bundle, taken.moments, wanted, tell)


def _taken(request: BuildRequest, quantised: bool) -> Taken:
    """Moments to calibrate on and to judge by."""
    from neon_edge.build.calibrate.ranges import check_recipe
    from neon_edge.build.calibrate.take import read_taken, take_demo
    from neon_edge.build.recipe import load_recipe

    recipe = load_recipe(request.recipe)
    if request.calibration is None:
        return take_demo(request.clip, recipe, quantised)
    check_recipe(request.calibration, recipe.name)
    return read_taken(request.calibration)


def _published(request: BuildRequest) -> QuantisedWeights | None:
    """The weights, where others quantised them. Raises `ConfigWrong` if that is asked for again.

    Encoders that are joined are read in float.
    """
    from neon_edge.backbones.contract import Joined
    from neon_edge.build.quantised_weights import QuantisedWeights
    from neon_edge.build.recipe import load_recipe
    from neon_edge.build.weights import open_weights

    recipe = load_recipe(request.recipe)
    if isinstance(recipe.adaptor, Joined):
        return None
    source = open_weights(request.weights, recipe)
    if not isinstance(source, QuantisedWeights):
        return None
    if request.precision not in ("", "none"):
        raise ConfigWrong(
            "these weights are quantised already",
            f"{source.origin}: {source.checkpoint.layout.kind}, asked for {request.precision}",
            "leave --precision away, or quantise the float checkpoint",
        )
    return source


def _placed(request: BuildRequest, source: QuantisedWeights, bundle: Path, tell: Tell) -> Path:
    """A bundle with the published codes, beside the float one that was exported from them."""
    from neon_edge.build.quantise.published import place_published
    from neon_edge.build.recipe import load_recipe

    target = bundle.with_name(f"{bundle.name}-published")
    settings = load_recipe(request.recipe).text.quantise
    place_published(bundle, source.checkpoint, source.modules, settings, target, tell)
    return target


def _quantised(
    request: BuildRequest, bundle: Path, moments: CalibrationSet, wanted: str, tell: Tell
) -> Path:
    """The chosen precision's plans, or its bundle. `GateMissed` where the gate cannot be passed."""
    from neon_edge.build.calibrate.ranges import check_ranges
    from neon_edge.build.quantise.bundle import KEPT, Work, quantise_bundle
    from neon_edge.build.quantise.choose import BITS, choose
    from neon_edge.build.recipe import load_recipe

    settings = load_recipe(request.recipe).text.quantise
    if request.calibration is not None:
        check_ranges(request.calibration, read_manifest(bundle).backbone)
    kept = bundle.parent / KEPT
    work = Work(bundle, moments, settings, request.threads, kept, request.engine)
    if wanted == "auto":
        return choose(work, bundle.parent, BITS, tell)
    target = bundle.with_name(f"{bundle.name}-{wanted}")
    quantise_bundle(work, "int8" if wanted == "int8" else "int4", target, tell)
    if request.bundle_only:
        return target
    return compile_bundle(target, bundle.parent, request.engine, request.threads, tell)


def _bundle(request: BuildRequest, held_out: CalibrationSet, tell: Tell) -> Path:
    # Here and not above: a machine that only compiles has no torch.
    from neon_edge.build.bundle import make_bundle
    from neon_edge.build.recipe import load_recipe

    assert request.checkpoint is not None
    recipe = load_recipe(request.recipe)
    bundle = (request.out or BUILT / recipe.name) / BUNDLE
    make_bundle(recipe, request.checkpoint, request.weights, bundle, held_out, tell)
    return bundle
