"""From a robot's `engines` to a directory of plans that fits this machine, and its engines."""

from __future__ import annotations

import os
from pathlib import Path

from neon_edge.config import RobotConfig
from neon_edge.engine.held import hold
from neon_edge.engine.manifest import BackboneManifest, HeadsManifest, Manifest, read_manifest
from neon_edge.engine.plan import check_fits, this_machine
from neon_edge.errors import ConfigWrong, PlanUnfit

CURRENT = "current"


def built_path() -> list[Path]:
    """Directories that hold built recipes, first wins."""
    named = os.environ.get("NEON_EDGE_ENGINES")
    state = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state"))
    places = [Path(named)] if named else []
    return [*places, Path("engines/built"), state / "neon-edge" / "engines"]


def find_plans(engines: str) -> Path:
    """The plans directory that a robot file's `engines` means. Raises `ConfigWrong`."""
    given = Path(engines)
    if (given / "manifest.json").is_file():
        # `current` may mean other plans when a process of this run opens them again.
        return given.resolve()
    for place in built_path():
        candidate = place / engines / CURRENT
        if (candidate / "manifest.json").is_file():
            return candidate.resolve()
    raise ConfigWrong(
        f"no plans called {engines!r}",
        f"searched {', '.join(str(place / engines) for place in built_path())}",
        f"build them: scripts/build_engines.sh {engines} --checkpoint DIR",
    )


def refuse_tokens(who: str, heads: HeadsManifest, backbone: BackboneManifest) -> None:
    """Raise `PlanUnfit` for heads that attend to tokens which `backbone` does not give out."""
    if heads.attended not in (0, backbone.shown):
        raise PlanUnfit(
            f"{who} to the backbone's tokens, and the one that runs gives out none",
            f"{heads.attended} rows wanted, {backbone.shown} given (recipe {backbone.recipe!r})",
            "build the robot's engines from a recipe with cut.tokens = true",
        )


def admit(directory: Path, robot: RobotConfig) -> Manifest:
    """Read the manifest and refuse what must not reach this robot's motors. Raises `PlanUnfit`.

    No build deletes `directory` before this process ends, which may open the plans again.
    """
    hold(directory)
    manifest = read_manifest(directory)
    if manifest.machine is None:
        raise PlanUnfit(
            f"{directory} is a bundle, not plans",
            "it was made to travel and holds nothing compiled",
            f"compile it on this machine: neon-edge build {directory}",
        )
    check_fits(manifest, this_machine(manifest.machine.engine))
    failed = [gate for gate in manifest.gates if not gate.passed]
    if failed or not manifest.gates:
        what = ", ".join(f"{g.name} {g.measured:.3g} > {g.limit:.3g} {g.unit}" for g in failed)
        raise PlanUnfit(
            "these plans have not passed their accuracy gate",
            what or "the manifest records no gate",
            "build them again; a plan whose error in radians is not known moves no motor",
        )
    if manifest.backbone.model_hash != manifest.heads.backbone_hash:
        raise PlanUnfit(
            "these heads belong to another backbone",
            f"backbone {manifest.backbone.model_hash}, heads {manifest.heads.backbone_hash}",
            "build backbone and heads together",
        )
    refuse_tokens("these heads attend", manifest.heads, manifest.backbone)
    if not robot.simulated and (manifest.backbone.random or manifest.heads.random):
        raise PlanUnfit(
            "these plans come from random weights, and this robot is real",
            f"backbone {manifest.backbone.weights}, heads {manifest.heads.checkpoint}",
            "build from trained weights and a trained checkpoint",
        )
    if len(robot.cameras) != manifest.backbone.cameras:
        raise PlanUnfit(
            "the robot has another number of cameras than the backbone was built for",
            f"{len(robot.cameras)} against {manifest.backbone.cameras}",
            "change the robot file's cameras, or the recipe's, and build again",
        )
    if (robot.microphone is None) != (manifest.backbone.audio is None):
        listens = manifest.backbone.audio is not None
        raise PlanUnfit(
            "backbone and robot disagree about sound",
            f"the backbone {'listens' if listens else 'does not listen'}, the robot has "
            f"{'no' if robot.microphone is None else 'a'} microphone",
            "change the robot file's microphone, or audio_seconds in the recipe, and build again",
        )
    return manifest
