"""A strategy gets the plans that it needs, and both kinds of plan want the same."""

from pathlib import Path

import msgspec
import numpy as np

from neon_edge.config import load_robot
from neon_edge.config.heads import HeadsChoice
from neon_edge.engine.manifest import read_manifest
from neon_edge.heads.fresh import FreshHeads
from neon_edge.heads.several import Head
from neon_edge.runtime.headset import HeadPlan, head_plan, open_head
from neon_edge.types import Features, JointState

SIM = load_robot("sim")


def opened(plan: HeadPlan) -> Head:
    return open_head(plan, SIM)


def plan_of(plans: Path, strategy: str) -> HeadPlan:
    choice = msgspec.convert({"strategy": strategy, "blend_s": 0}, HeadsChoice)
    return head_plan(choice, plans, read_manifest(plans))


def test_fresh_alone_runs_the_plan_of_one_row(plans: Path) -> None:
    found = {}
    for strategy in ("fresh", "chunk", "ensemble"):
        head = opened(plan_of(plans, strategy))
        found[strategy] = ("row" in head.network.engine.inputs, len(head.network.chunk))
        head.network.engine.close()
    steps = read_manifest(plans).heads.steps
    assert found == {"fresh": (True, 1), "chunk": (False, steps), "ensemble": (False, steps)}


def test_fresh_wants_the_same_of_a_row_as_of_plans_from_before_that_make_the_chunk(
    plans: Path,
) -> None:
    plan = plan_of(plans, "fresh")
    before = msgspec.structs.replace(plan.heads, row_part=None)
    chance = np.random.default_rng(0)
    heads = opened(plan), opened(msgspec.structs.replace(plan, heads=before))
    still = np.zeros(len(SIM.joints), np.float32)
    for ahead in (0, 5):
        strategies = [FreshHeads(head.network, ahead) for head in heads]
        for tick in range(1, 9):
            pooled = chance.standard_normal(heads[0].network.engine.inputs["pooled"].shape[1])
            seen = Features(pooled.astype(np.float32), tick, tick, 1 + tick // 4, tick)
            at = chance.uniform(-1, 1, len(still)).astype(np.float32)
            state = JointState(at, still, still, np.ones(len(still), np.int64))
            wanted = [each.setpoint(seen, state, tick, tick) for each in strategies]
            alone, whole = (each.position.copy() for each in wanted if each is not None)
            assert np.abs(alone - whole).max() <= 1e-5 and alone.any()
    for head in heads:
        head.network.engine.close()
