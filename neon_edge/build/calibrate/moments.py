"""A calibration set: what the robot saw, was told and felt at the same moments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from neon_edge.build.calibrate.split import Pools
from neon_edge.build.quantise.kept import DAMAGED
from neon_edge.engine.files import sha256_file
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32, UInt8

FILE_NAME = "moments.npz"
HELD_OUT = "held_out.npz"
FEWEST = 2
_CAMERA = "camera_"


@dataclass(frozen=True)
class CalibrationSet:
    """n moments: of every camera (n, height, width, 3), in its own size; joints (n, joints or 0).

    `robot` is the joint names in order, joined by commas; empty where no joint state was recorded.
    """

    cameras: tuple[UInt8, ...]
    instructions: list[str]
    names: list[str]
    joints: Float32
    robot: str = ""
    sounds: Float32 | None = None
    """(n, samples) up to each moment, at `rate_hz`; None where nothing was recorded."""
    rate_hz: int = 0
    source: str = ""
    """What recording, and 16 hex digits of it."""
    episodes: list[int] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    """When in its episode each moment was."""
    seed: int = 0
    """Of the draw."""
    tuning: int = 0
    """Of a set that is set aside, how many first moments decide what goes back to float."""

    @property
    def frames(self) -> list[tuple[UInt8, ...]]:
        """Moment by moment, what each camera saw."""
        return list(zip(*self.cameras, strict=True))


class Taken(NamedTuple):
    """What one recording gives: moments to calibrate on, and others to judge plans by."""

    moments: CalibrationSet
    held_out: CalibrationSet


def taken(made: Callable[[list[int]], CalibrationSet], chosen: Pools) -> Taken:
    """`made` of the rows of both sides."""
    held_out = made(chosen.tune + chosen.judge)
    return Taken(made(chosen.learn), replace(held_out, tuning=len(chosen.tune)))


def checked(
    moments: CalibrationSet, pictures: int, robot: str = "", window: int = 1
) -> CalibrationSet:
    """The same, if it can be calibrated on. Raises `ConfigWrong` with the reason.

    A camera's picture may stand for its whole `window`, as a robot's first does.
    """
    count = len(moments.names)
    if count < FEWEST:
        raise _wrong(
            "no moments" if count == 0 else "a single moment",
            f"{count} moments; one says nothing of how activations vary",
            f"record more: at least {FEWEST}, better 16",
        )
    if len(moments.cameras) * window == pictures:
        cameras = tuple(seen for seen in moments.cameras for _ in range(window))
        moments = replace(moments, cameras=cameras)
    if len(moments.cameras) != pictures:
        raise _wrong(
            "another number of cameras",
            f"{len(moments.cameras)} in the set, the recipe has {pictures} pictures",
            "calibrate with the recipe's cameras",
        )
    if moments.sounds is not None and not np.isfinite(moments.sounds).all():
        raise _wrong("sound that is not numbers", f"{moments.sounds.shape}", "record it again")
    if not np.isfinite(moments.joints).all():
        bad = [n for n, row in zip(moments.names, moments.joints, strict=True)
               if not np.isfinite(row).all()]  # fmt: skip
        raise _wrong(
            "joint states that are not numbers",
            f"{len(bad)} moments, the first is {bad[0]}",
            "leave them out and record them again",
        )
    if robot and moments.robot:
        joint_rows(moments, robot.split(","))
    return moments


def joint_rows(moments: CalibrationSet, names: list[str]) -> Float32:
    """Joint states (n, names) in that order. Raises `ConfigWrong` where one is missing."""
    there = moments.robot.split(",")
    missing = [name for name in names if name not in there]
    if missing:
        raise _wrong(
            f"moments of another robot: nothing is called {missing[0]!r} there",
            f"joints {moments.robot} in the set, {','.join(names)} in the checkpoint",
            "calibrate on the robot that the heads were trained for; where only the names differ: "
            f"neon-edge calibrate … --joint {there[0]}={missing[0]}",
        )
    return moments.joints[:, [there.index(name) for name in names]]


def renamed(moments: CalibrationSet, pairs: dict[str, str]) -> CalibrationSet:
    """The same with joints called otherwise, {theirs: ours}. Raises `ConfigWrong`."""
    there = moments.robot.split(",") if moments.robot else []
    unknown = [name for name in pairs if name not in there]
    names = [pairs.get(name, name) for name in there]
    if unknown or len(set(names)) < len(names):
        wrong = f"no joint {unknown[0]!r}" if unknown else f"two joints of one name in {names}"
        raise ConfigWrong(
            f"the recording has {wrong}",
            f"it has {moments.robot or 'no joint names'}",
            "name each once: --joint THEIRS=OURS",
        )
    return replace(moments, robot=",".join(names))


def check_apart(moments: CalibrationSet, held_out: CalibrationSet) -> CalibrationSet:
    """`held_out`, if plans can be judged by it. Raises `ConfigWrong` where both sides overlap."""
    judged = len(held_out.names) - held_out.tuning
    if judged < FEWEST:
        raise ConfigWrong(
            "too little of the recording is left to judge plans by",
            f"{judged} moments, {FEWEST} are the least",
            "record more, and calibrate again",
        )
    if moments.source == held_out.source:
        for episode in set(moments.episodes) & set(held_out.episodes):
            ours, theirs = _times(moments, episode), _times(held_out, episode)
            if min(theirs) <= max(ours) and min(ours) <= max(theirs):
                raise ConfigWrong(
                    "moments to calibrate on overlap with those to judge by",
                    f"episode {episode} of {moments.source}: {min(ours):.2f} to {max(ours):.2f} s "
                    f"and {min(theirs):.2f} to {max(theirs):.2f} s",
                    "calibrate again; do not mix files of two sets",
                )
    return held_out


def _times(moments: CalibrationSet, episode: int) -> list[float]:
    pairs = zip(moments.episodes, moments.at_s, strict=True)
    return [at_s for number, at_s in pairs if number == episode]


def fingerprint(moments: CalibrationSet) -> str:
    """Hex digest of all that the set holds."""
    digest = hashlib.sha256()
    heard = [moments.sounds] if moments.sounds is not None else []
    arrays: list[npt.NDArray[Any]] = [*moments.cameras, moments.joints, *heard]
    for array in arrays:
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    facts = (moments.instructions, moments.names, moments.robot, moments.source, moments.tuning)
    digest.update(repr((*facts, moments.episodes, moments.at_s, moments.seed)).encode())
    return digest.hexdigest()


def write_moments(directory: Path, moments: CalibrationSet, name: str = FILE_NAME) -> str:
    """Whole or not at all; returns the file's sha256."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    partial = path.with_name(path.name + ".part")
    seen = {f"{_CAMERA}{index}": pictures for index, pictures in enumerate(moments.cameras)}
    heard = {} if moments.sounds is None else {"sounds": moments.sounds}
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            instructions=np.array(moments.instructions, dtype=np.str_),
            names=np.array(moments.names, dtype=np.str_),
            joints=moments.joints,
            robot=np.array(moments.robot, dtype=np.str_),
            rate_hz=np.array(moments.rate_hz),
            source=np.array(moments.source, dtype=np.str_),
            episodes=np.array(moments.episodes, np.int64),
            at_s=np.array(moments.at_s, np.float64),
            seed=np.array(moments.seed),
            tuning=np.array(moments.tuning),
            **seen,
            **heard,
        )
    partial.replace(path)
    return sha256_file(path)


def read_moments(directory: Path, name: str = FILE_NAME) -> CalibrationSet:
    """What `write_moments` wrote. Raises `ConfigWrong`."""
    path = directory / name
    try:
        with np.load(path, allow_pickle=False) as stored:
            return CalibrationSet(
                _cameras(stored),
                [str(text) for text in stored["instructions"]],
                [str(name) for name in stored["names"]],
                stored["joints"],
                str(stored["robot"]),
                stored.get("sounds"),
                int(stored["rate_hz"]),
                str(stored["source"]),
                stored["episodes"].tolist(),
                stored["at_s"].tolist(),
                int(stored["seed"]),
                int(stored["tuning"]),
            )
    except DAMAGED as failure:
        raise ConfigWrong(
            f"no calibration set in {directory}",
            f"{path}: {failure}",
            "make one: neon-edge calibrate RECIPE --clip FILE",
        ) from None


def _cameras(stored: Any) -> tuple[UInt8, ...]:
    count = sum(name.startswith(_CAMERA) for name in stored.files)
    return tuple(stored[f"{_CAMERA}{index}"] for index in range(count))


def _wrong(what: str, facts: str, fix: str) -> ConfigWrong:
    return ConfigWrong(f"the calibration set holds {what}", facts, fix)
