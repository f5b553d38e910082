"""Heads with upstream's diffusion sampler: refused on a real robot unless its file says why not.

The sampler divides by the signal's share of a nearly pure noise, 1e-5 at its first step
(`DiTActionHead.sample` in `neon/model/action_heads.py` of neon-vla 0.1.5): unless the first noise
prediction is exact to about that much, every joint of every row ends at one of its limits.
"""

from __future__ import annotations

from neon_edge.config.heads import HeadsChoice
from neon_edge.engine.manifest import HeadsManifest
from neon_edge.errors import PlanUnfit

DIFFUSION = ("dit", "ensemble")
"""Head types that sample by diffusion, an ensemble as one of its three parts."""


WHY = (
    "upstream's sampler multiplies any error of its first noise prediction by 1e5, which drives "
    "joints to their limits"
)


def refuse_diffusion(heads: HeadsManifest, choice: HeadsChoice, simulated: bool) -> None:
    """Raise `PlanUnfit` for a real robot whose file gives no reason to trust such a head."""
    if heads.head_type in DIFFUSION and not simulated and not choice.diffusion.strip():
        raise PlanUnfit(
            "these heads sample by diffusion, and this robot is real",
            f"action head {heads.head_type!r}: {WHY}",
            "train a flow or an mlp; or, knowing that this one does not saturate, write why as "
            'diffusion = "..." in [heads]',
        )


def diffusion_warnings(heads: HeadsManifest, choice: HeadsChoice) -> list[str]:
    """What a person should know before such a head moves anything."""
    if heads.head_type not in DIFFUSION:
        return []
    reason = choice.diffusion.strip()
    allowed = f"allowed by the robot file: {reason}" if reason else "allowed on a simulated robot"
    return [f"action head {heads.head_type!r}: {WHY}; {allowed}"]
