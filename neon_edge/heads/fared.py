"""How a head fared in a run: what a person should know of it, in sentences."""

from __future__ import annotations

from neon_edge.engine.selective import SelectiveEngine
from neon_edge.heads.blend import Blended
from neon_edge.heads.chunk import ChunkHeads
from neon_edge.heads.guided import GuidedHeads
from neon_edge.heads.several import Head
from neon_edge.heads.spelled import SpelledHeads
from neon_edge.heads.strategy import Heads


def warnings_of(head: Head) -> list[str]:
    """Sentences about `head`, each beginning with its name."""
    strategy = head.strategy.inner if isinstance(head.strategy, Blended) else head.strategy
    said = [*_guided(strategy), *_spelled(strategy), *_starved(strategy, head.network.steps)]
    engine = head.network.engine
    if isinstance(engine, SelectiveEngine) and engine.runs:
        said.append(f"decoded {engine.decodes} of {engine.runs} action embeddings")
    return [f"head {head.name!r} {sentence}" for sentence in said]


def _guided(strategy: Heads) -> list[str]:
    if not isinstance(strategy, GuidedHeads):
        return []
    said = []
    if strategy.outside is not None:
        steps, delay, executed = strategy.outside
        said.append(
            f"left {strategy.name}'s envelope {strategy.left} times, the last with chunk "
            f"H = {steps}, delay d = {delay}, executed s = {executed} ticks; "
            'played as laid = "joints"'
        )
    if strategy.restarts:
        said.append(
            f"began {strategy.restarts} chunks that continue nothing: ticks had been missed, or "
            "features had not come"
        )
    return said


def _spelled(strategy: Heads) -> list[str]:
    if not isinstance(strategy, SpelledHeads) or not strategy.refused:
        return []
    return [
        f"wrote tokens that are no chunk {strategy.refused} of {strategy.written} times, "
        f"the last for {strategy.fault.name.lower()}; the robot held until the next"
    ]


def _starved(strategy: Heads, steps: int) -> list[str]:
    if not isinstance(strategy, ChunkHeads | GuidedHeads | SpelledHeads) or not strategy.starved:
        return []
    return [
        f"held the last row of a chunk for {strategy.starved} ticks: new features came later than "
        f"the {steps} ticks that a chunk lasts"
    ]
