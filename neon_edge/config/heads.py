"""What a robot file says of its heads: which, how each is run, and what each drives."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from neon_edge.config.motors import NotNegative, Positive

BASE = "base"
"""Among what a head drives: base velocity."""


class HeadsChoice(Struct, frozen=True, forbid_unknown_fields=True):
    """How one head is run: neon_edge/heads/, one file a strategy."""

    name: str = "heads"
    plans: str = ""
    """A built recipe's name or a directory of plans on the robot's backbone; without it, the
    robot's `engines`."""
    drives: list[str] = field(default_factory=list)
    """Joints by name, and "base" for base velocity; without it, all that its checkpoint has."""

    strategy: Literal["fresh", "chunk", "ensemble", "rtc", "prefix"] = "fresh"
    """fresh: every tick on fresh joint state. chunk: replay. ensemble: mean of overlapping ones.
    rtc: chunks guided so that each continues the last; flow heads only. prefix: chunks given the
    first rows of the last; flow heads that were trained with them only."""
    blend_s: Annotated[float, Meta(ge=0, le=2)] = 0.4
    """What a swap of features adds to the setpoint is taken back over this time; 0 jumps."""
    ahead: Annotated[int, Meta(ge=0)] | Literal["auto"] = "auto"
    """fresh: the row that the setpoint goes an (ahead + 1)th of the way to; 0 is row 0 itself.
    auto: 7 for heads that sample (or the last row), 0 for those that give one answer."""
    decay: NotNegative = 0.01
    """ensemble: weights fall by exp(-decay) from one chunk to the next younger one."""
    seed: int = 0
    """Of the noise that heads sample from."""
    noise: Literal["features", "start"] = "features"
    """Drawn anew with each features and held until the next, or drawn once, at the start."""
    execute: Annotated[int, Meta(ge=1)] = 4
    """rtc laid at the joints: ticks of a chunk before the next is made."""
    beta: Positive = 5.0
    """rtc: bound of the guidance; 5 in the paper, 10 in LeRobot."""
    schedule: Literal["exp", "linear"] = "exp"
    """rtc: how the hold on the old chunk falls from row to row."""
    jacobian: Literal["free", "true"] = "free"
    """rtc: free is what LeRobot deploys; true is the paper's, twice the head's cost."""
    laid: Literal["joints", "picture"] = "joints"
    """rtc: chunks begin at the tick they are made in, or at that of their picture."""
    tokens: Annotated[int, Meta(ge=1)] = 8
    """fast heads: tokens that a tick writes of the next chunk."""
    diffusion: str = ""
    """Why a head that samples by diffusion may move this real robot; empty: it may not."""
    moved: NotNegative = 0.0
    """jepa heads: how far an embedding, whose root mean square is 1, moves before it is decoded."""
