"""A calibration set: what the robot saw, was told and felt at the same moments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neon_edge.build.quantise.kept import DAMAGED
from neon_edge.engine.files import sha256_file
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32, UInt8

FILE_NAME = "moments.npz"
FEWEST = 2
_CAMERA = "camera_"


class Window(NamedTuple):
    """Pictures of one camera that a moment is made of."""

    pictures: int
    apart_s: float
    """Between two of them; 0 where a moment is a picture of every camera."""

    @property
    def back_s(self) -> list[float]:
        """How far each lies ahead of the moment, the oldest first."""
        count = self.pictures if self.apart_s else 1
        return [self.apart_s * at for at in reversed(range(count))]


NO_WINDOW = Window(1, 0.0)


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

    @property
    def frames(self) -> list[tuple[UInt8, ...]]:
        """Moment by moment, what each camera saw."""
        return list(zip(*self.cameras, strict=True))


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
    if robot and moments.robot and robot != moments.robot:
        raise _wrong(
            "moments of another robot",
            f"joints {moments.robot} in the set, {robot} in the checkpoint",
            "calibrate on the robot that the heads were trained for",
        )
    return moments


def write_moments(directory: Path, moments: CalibrationSet) -> str:
    """Whole or not at all; returns the file's sha256."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / FILE_NAME
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
            **seen,
            **heard,
        )
    partial.replace(path)
    return sha256_file(path)


def read_moments(directory: Path) -> CalibrationSet:
    """What `write_moments` wrote. Raises `ConfigWrong`."""
    path = directory / FILE_NAME
    try:
        with np.load(path, allow_pickle=False) as stored:
            return CalibrationSet(
                _cameras(stored),
                [str(text) for text in stored["instructions"]],
                [str(name) for name in stored["names"]],
                stored["joints"],
                str(stored["robot"]),
                stored.get("sounds"),
                int(stored["rate_hz"]) if "rate_hz" in stored else 0,
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
