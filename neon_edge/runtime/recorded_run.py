"""What a recording says of its run: the robot, its plans, its swaps, and how its rows are laid out.

Anything in it that this version cannot read is one error that names the version that wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from neon_edge import __version__
from neon_edge.config import RobotConfig
from neon_edge.engine.manifest import Manifest, read_manifest
from neon_edge.engine.plan import check_plan_file
from neon_edge.errors import ConfigWrong, PlanUnfit
from neon_edge.runtime.headset import HeadPlan, head_plan
from neon_edge.runtime.messages import POOLED, ROWS, SWAPS
from neon_edge.runtime.observed import pooled_fields, robot_fields
from neon_edge.runtime.plans import find_plans
from neon_edge.runtime.recorder import RUN
from neon_edge.runtime.swapping import SwapOrder
from neon_edge.telemetry.mapped import Fields, fields_of, row_dtype
from neon_edge.telemetry.parts import PART
from neon_edge.telemetry.recording import Recorded

LATER = {"base_ns", "base", "imu_ns", "turn_rad_s"}
"""Fields that older recordings have not, and that replay can do without."""


class RecordedRun(NamedTuple):
    """What replay needs besides rows."""

    robot: RobotConfig
    manifest: Manifest
    heads: list[HeadPlan]
    """Those that the run began with."""
    orders: dict[int, SwapOrder]
    dtypes: dict[str, np.dtype[np.void]]
    """Of the topics whose messages are rows."""


def recorded_run(recorded: Recorded) -> RecordedRun:
    """Read it, once `messages` has begun. Raises `ConfigWrong` for no recording of ours."""
    about = recorded.metadata.get(RUN)
    if about is None:
        raise ConfigWrong(
            f"{recorded.path} is not a recording of ours",
            f"it has no metadata called {RUN!r}",
            "name a file of run --record",
        )
    part = recorded.metadata.get(PART, {"number": "0"})
    if part["number"] != "0":
        raise ConfigWrong(
            f"{recorded.path} begins in the middle of a run",
            f"it is part {part['number']} of {part['first']}",
            "replay the first: the others are read behind it",
        )
    try:
        return _read(recorded, about)
    except KeyError as failure:
        facts = f"it lacks {failure}"
    except (msgspec.MsgspecError, ValueError, TypeError) as failure:
        facts = str(failure)
    raise another_version(recorded, facts)


def another_version(recorded: Recorded, facts: str) -> ConfigWrong:
    """What is wrong with a recording that this version cannot read."""
    by = recorded.metadata[RUN].get("neon_edge", "an unknown version")
    return ConfigWrong(
        f"{recorded.path} was recorded by another version of neon-edge",
        f"by {by}, this is {__version__}: {facts}",
        f"replay it with the version that recorded it: {by}",
    )


def _read(recorded: Recorded, about: Mapping[str, str]) -> RecordedRun:
    robot = msgspec.json.decode(about["robot"], type=RobotConfig)
    manifest = msgspec.json.decode(about["manifest"], type=Manifest)
    if "heads" in about:
        heads = msgspec.json.decode(about["heads"], type=list[HeadPlan])
    else:
        heads = [head_plan(robot.head_choices[0], Path(about["plans"]), manifest)]
    wanted = {
        ROWS: robot_fields(robot),
        POOLED: pooled_fields(manifest.backbone.pooled_width, manifest.backbone.shown),
    }
    dtypes = {topic: _dtype(recorded, topic, fields) for topic, fields in wanted.items()}
    return RecordedRun(robot, manifest, heads, _orders(recorded), dtypes)


def _dtype(recorded: Recorded, topic: str, wanted: Fields) -> np.dtype[np.void]:
    fields = fields_of(recorded.channels[topic]["fields"])
    lacking = sorted({field for field in wanted if field[0] not in LATER} - {*fields})
    if lacking:
        named = ", ".join(f"{name} as {code}" for name, code in lacking)
        raise ValueError(f"rows of {topic} lack {named}")
    return row_dtype(fields)


def _orders(recorded: Recorded) -> dict[int, SwapOrder]:
    if SWAPS not in recorded.channels:
        return {}
    payloads = (each.payload for each in recorded.messages() if each.topic == SWAPS)
    orders = [msgspec.json.decode(payload, type=SwapOrder) for payload in payloads]
    return {order.number: order for order in orders}


def head_plans(run: RecordedRun, engines: str) -> list[HeadPlan]:
    """The heads that the run began with, each from a directory that holds the same ones."""
    # The directory that was run may be gone; a build of the same plans will serve.
    fallback = engines or run.manifest.backbone.recipe
    return [same_head(plan, fallback, prefer=bool(engines)) for plan in run.heads]


def same_head(plan: HeadPlan, fallback: str, *, prefer: bool = False) -> HeadPlan:
    """`plan` where its files still are, or where `fallback` has them. Raises `PlanUnfit`."""
    directory = Path(plan.directory)
    if prefer or (fallback and not directory.is_dir()):
        with suppress(ConfigWrong):
            directory = find_plans(fallback)
    found = read_manifest(directory)
    wanted = {part.name: part.plan_sha256 for part in plan.heads.parts}
    here = {part.name: part.plan_sha256 for part in found.heads.parts}
    if wanted != here:
        raise PlanUnfit(
            "these are not the plans that made the recording",
            f"{directory}: heads {_short(here)}, recorded {_short(wanted)}",
            "name the directory of the recorded plans: --engines DIR",
        )
    for part in plan.heads.parts:
        check_plan_file(directory, part)
    return msgspec.structs.replace(plan, directory=str(directory))


def _short(hashes: dict[str, str]) -> str:
    return ", ".join(f"{name} {digest[:16]}…" for name, digest in hashes.items())
