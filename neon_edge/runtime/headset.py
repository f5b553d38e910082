"""A robot's heads, found, admitted and opened: those of its file, and what takes their place.

What the control process needs to know of them travels in the run's file, so that a swap changes one
place and a restart comes back with what ran.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from msgspec import Struct

from neon_edge.config import RobotConfig
from neon_edge.config.heads import BASE, HeadsChoice
from neon_edge.config.sensors import FixedSensor, Sensor
from neon_edge.engine.contract import Engine
from neon_edge.engine.manifest import BackboneManifest, HeadsManifest, Machine, Manifest
from neon_edge.engine.plan import open_heads_engine
from neon_edge.errors import PlanUnfit
from neon_edge.heads.network import HeadNetwork
from neon_edge.heads.order import Indices
from neon_edge.heads.several import Head, SeveralHeads, driven_by, refuse_overlaps
from neon_edge.heads.strategy import ONE_ROW, STEPPED, open_strategy
from neon_edge.runtime.diffusion import refuse_diffusion
from neon_edge.runtime.plans import admit, find_plans, refuse_tokens
from neon_edge.types import Float32

WARM_UP_RUNS = 50


class HeadPlan(Struct, frozen=True, forbid_unknown_fields=True):
    """One head of a run: how it is run, and the plans it is made of."""

    choice: HeadsChoice
    directory: str
    heads: HeadsManifest
    machine: Machine | None

    @property
    def name(self) -> str:
        """As the robot file calls it."""
        return self.choice.name


def head_plan(choice: HeadsChoice, directory: Path, manifest: Manifest) -> HeadPlan:
    """`choice`, made of the plans in `directory`."""
    return HeadPlan(choice, str(directory), manifest.heads, manifest.machine)


def admit_heads(robot: RobotConfig, directory: Path, manifest: Manifest) -> list[HeadPlan]:
    """Every head that the robot file names, on the backbone of `manifest`.

    Raises `ConfigWrong` for plans that are not there, not fit or on another backbone, and where two
    heads drive the same.
    """
    found = []
    for choice in robot.head_choices:
        if not choice.plans:
            found.append(head_plan(choice, directory, manifest))
            continue
        place = find_plans(choice.plans)
        own = admit(place, robot)
        refuse_backbone_of(choice.name, own.heads, manifest.backbone)
        found.append(head_plan(choice, place, own))
    refuse_overlaps({plan.name: drives(plan, robot) for plan in found}, robot.joint_names)
    return found


def refuse_backbone_of(name: str, heads: HeadsManifest, backbone: BackboneManifest) -> None:
    """Raise `PlanUnfit`, with both sides, for heads of another backbone, or of more than it shows.

    As `admit` does within one directory.
    """
    if heads.backbone_hash != backbone.model_hash:
        raise PlanUnfit(
            f"head {name!r} belongs to another backbone than the one that runs",
            f"it was built for {heads.backbone_hash}, running is {backbone.model_hash}",
            "build it with the recipe and the weights of the robot's engines",
        )
    refuse_tokens(f"head {name!r} attends", heads, backbone)


def drives(plan: HeadPlan, robot: RobotConfig) -> tuple[Indices, bool]:
    """Which of the robot's joints it drives, and whether the base."""
    return driven_by(plan.name, plan.choice.drives, plan.heads, robot)


def undriven(plans: Sequence[HeadPlan], robot: RobotConfig) -> list[str]:
    """Joints that no head drives: they stay where they were measured at start."""
    driven = {int(joint) for plan in plans for joint in drives(plan, robot)[0]}
    return [name for at, name in enumerate(robot.joint_names) if at not in driven]


def base_driver(plans: Sequence[HeadPlan], robot: RobotConfig) -> str:
    """The head whose base velocity is the robot's, or nothing."""
    return next((plan.name for plan in plans if drives(plan, robot)[1]), "")


def open_head(plan: HeadPlan, robot: RobotConfig) -> Head:
    """One head on its engine, warmed up, so that no tick pays for the first run."""
    choice = plan.choice
    refuse_diffusion(plan.heads, choice, robot.simulated)
    engine = open_heads_engine(
        Path(plan.directory),
        plan.heads,
        plan.machine,
        guided=choice.strategy in STEPPED,
        one_row=choice.strategy == ONE_ROW,
        moved=choice.moved,
    )
    try:
        return _on_engine(engine, plan, robot)
    except BaseException:
        engine.close()
        raise


def _on_engine(engine: Engine, plan: HeadPlan, robot: RobotConfig) -> Head:
    choice = plan.choice
    sensors = {sensor.name: _at_start(sensor) for sensor in robot.sensors}
    network = HeadNetwork(
        engine,
        plan.heads,
        robot.joint_names,
        sensors,
        choice.seed,
        keep_noise=choice.noise == "start",
        openings={joint.name: joint.opening for joint in robot.joints if joint.opening},
    )
    for _ in range(WARM_UP_RUNS):
        engine.start()
        engine.wait()
    joints, base = drives(plan, robot)
    return Head(plan.name, network, open_strategy(robot, network, choice), joints, base)


def _at_start(sensor: Sensor) -> Float32:
    if isinstance(sensor, FixedSensor):
        return np.array(sensor.value, dtype=np.float32)
    return np.zeros(sensor.shape, dtype=np.float32)


def open_headset(plans: Sequence[HeadPlan], robot: RobotConfig) -> SeveralHeads:
    """All of them, as one."""
    with ExitStack() as opened:
        heads = []
        for plan in plans:
            heads.append(open_head(plan, robot))
            opened.callback(heads[-1].network.engine.close)
        together = SeveralHeads(heads, robot)
        opened.pop_all()
    return together


def open_heads(manifest: Manifest, directory: Path, robot: RobotConfig) -> SeveralHeads:
    """The heads of one directory of plans, run as the robot file's first head."""
    return open_headset([head_plan(robot.head_choices[0], directory, manifest)], robot)


def refuse_swap(old: HeadPlan, new: HeadPlan, backbone: BackboneManifest) -> None:
    """Raise `PlanUnfit`, with both sides, unless `new` can stand where `old` stands."""
    refuse_backbone_of(new.name, new.heads, backbone)
    before, after = old.heads, new.heads
    if before.joint_names != after.joint_names:
        at, names = _first_apart(before.joint_names, after.joint_names)
        raise _unfit(new.name, f"joint {at}", *names)
    for what, one, other in (
        (BASE, before.base_velocity, after.base_velocity),
        ("steps", before.steps, after.steps),
        ("sensors", _shapes(before), _shapes(after)),
        ("grippers", before.grippers, after.grippers),
    ):
        if one != other:
            raise _unfit(new.name, what, str(one), str(other))


def _unfit(name: str, what: str, running: str, wanted: str) -> PlanUnfit:
    return PlanUnfit(
        f"head {name!r} cannot be swapped for one of another shape",
        f"{what}: running {running}, wanted {wanted}",
        "stop the robot and start it with the new plans",
    )


def _first_apart(one: list[str], other: list[str]) -> tuple[int, tuple[str, str]]:
    for at in range(max(len(one), len(other))):
        names = (repr(each[at]) if at < len(each) else "none" for each in (one, other))
        before, after = names
        if before != after:
            return at, (before, after)
    raise AssertionError("equal lists")


def _shapes(heads: HeadsManifest) -> list[tuple[str, list[int]]]:
    return [(sensor.name, sensor.shape) for sensor in heads.sensors]
