"""Every head, mode and sensor: our networks against upstream, our plans against our networks.

    python tests/bench/parity_heads.py [--full] [--json]

`network` is the largest difference from upstream's `predict` on the same observations and the same
noise; for a dit it is that of each noise prediction, because its sampling multiplies any rounding
by 1e5 (then `saturated` says how much of the chunk ends at a limit). `plan` is ONNX Runtime against
our network, in rad or SI, likewise; for a fast head that of each token's scores. What upstream
cannot act with is shown as refused, and where it has no such head there is no `network`.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from neon.model.action_heads import StateRelativeHead

sys.path.insert(0, str(Path(__file__).parents[2]))

from neon_edge.build.heads import export_heads, heads_error, sample_inputs, torch_chunk
from neon_edge.checkpoint import Checkpoint, load_checkpoint
from neon_edge.checkpoint.joints import MODES
from neon_edge.checkpoint.networks.dit import DitHead
from neon_edge.checkpoint.networks.ensemble import EnsembleHead
from neon_edge.engine.contract import Engine, infer
from neon_edge.engine.denoise import DenoisingEngine
from neon_edge.engine.plan import compile_part, open_heads_engine, this_machine
from neon_edge.errors import ConfigWrong
from tests.bench.parity_more import (
    AUDIO,
    CROSS_ATTENTION,
    OWN,
    TOKENS,
    attended,
    listen,
    save_own_head,
    score_errors,
)
from tests.checkpoint.test_parity_samplers import ALL, SENSORS, SMALL, theirs
from tests.checkpoint.upstream import upstream_model

SAMPLES = 10
SENSOR_MODE = "upper_body"
LIMITS = {"mlp": 1e-5, "flow": 1e-4, "dit": 1e-4, "ensemble": 1e-4, "fast": 1e-4, "jepa": 1e-4}
HEADS: dict[str, dict[str, Any]] = {
    "mlp": {"use_separate_heads": False},
    "mlp separate": {},
    "mlp separate, one row": {"use_action_chunking": False},
    "flow": {"action_head_type": "flow"},
    "dit": {"action_head_type": "dit"},
    "ensemble": {"action_head_type": "ensemble"},
    "flow cross": CROSS_ATTENTION,
}
WITH_TOKENS = "tokens"
"""In place of a sensor's name: the flow is given what it attends to."""


def measured(
    head: str, mode: str, full: bool, sensors: str = "imu", relative: bool = False
) -> dict[str, Any]:
    """One row of the table; `relative` wraps the head as upstream's `StateRelativeHead`."""
    shown = f"{head}{' relative' if relative else ''}{'' if sensors == 'imu' else ', ' + sensors}"
    row: dict[str, Any] = {"head": shown, "mode": mode}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        sizes = {} if full else SMALL
        model = upstream_model(control_mode=mode, **sensed(sensors), **HEADS[head], **sizes)
        if sensors in AUDIO:
            listen(model, sensors)
        if relative:
            columns = model.action_space.action_dim
            model.action_head = StateRelativeHead(model.action_head, columns)
        model.save_pretrained(str(directory))
        try:
            checkpoint = load_checkpoint(directory, picture=32)
        except ConfigWrong as refused:
            return row | {"refused": refused.wrong}
        engine = opened(checkpoint, directory, TOKENS if sensors == WITH_TOKENS else 0)
        # A convolution over 80 bands and 101 frames sums more than a whole mlp does.
        limit = LIMITS["flow" if sensors == "mel" else checkpoint.config.action_head_type]
        dit = dit_of(checkpoint)
        if sensors == WITH_TOKENS:
            network, plan = attended(checkpoint, model, engine, SAMPLES)
        elif relative:
            network, plan = against_sample(checkpoint, model), against_network(checkpoint, engine)
        elif dit is None:
            network, plan = against_predict(checkpoint, model), against_network(checkpoint, engine)
        else:
            upstream = getattr(model.action_head, "dit_head", model.action_head)
            network, plan = noise_errors(checkpoint, dit, upstream, engine)
            row["saturated"] = saturated(checkpoint)
        engine.close()
    return row | {"network": network, "plan": plan, "limit": limit}


def sensed(sensors: str) -> dict[str, Any]:
    """Upstream's settings for what a row calls its sensors."""
    if sensors in AUDIO:
        return {"audio": AUDIO[sensors]}
    return SENSORS["imu"] if sensors == WITH_TOKENS else SENSORS.get(sensors, ALL)


def opened(checkpoint: Checkpoint, directory: Path, tokens: int = 0) -> Engine:
    """The checkpoint's heads as ONNX Runtime's plans."""
    heads = export_heads(checkpoint, directory, "0" * 16, tokens)
    plans = [compile_part(directory, part, directory, "onnxruntime") for part in heads.parts]
    return open_heads_engine(directory, heads.with_parts(plans), this_machine("onnxruntime"))


def measured_own(head: str, mode: str) -> dict[str, Any]:
    """A row of a head that upstream does not have."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        save_own_head(directory, head, mode)
        checkpoint = load_checkpoint(directory)
        engine = opened(checkpoint, directory)
        against = score_errors if head == "fast" else against_network
        plan = against(checkpoint, engine)
        engine.close()
    return {"head": head, "mode": mode, "network": None, "plan": plan, "limit": LIMITS[head]}


def dit_of(checkpoint: Checkpoint) -> DitHead | None:
    """The diffusion part of a head, where it has one."""
    head = checkpoint.module.action_head
    if isinstance(head, EnsembleHead):
        return head.dit_head
    return head if isinstance(head, DitHead) else None


def against_predict(checkpoint: Checkpoint, model: Any) -> float:
    """Largest difference of whole chunks from upstream's `predict`."""
    with pytest.MonkeyPatch.context() as patch:
        return max(
            float(np.abs(torch_chunk(checkpoint, seen)[0] - theirs(patch, model, seen)).max())
            for seen in sample_inputs(checkpoint, SAMPLES, seed=0)
        )


def against_sample(checkpoint: Checkpoint, model: Any) -> float:
    """The same of a relative head's own `sample`: upstream's `predict` hands it no state."""
    space, worst = model.action_space, 0.0
    for seen in sample_inputs(checkpoint, SAMPLES, seed=0):
        tensors = {name: torch.from_numpy(value) for name, value in seen.items()}
        noise = tensors.pop("noise", torch.empty(0))
        with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
            features = checkpoint.module.fused(**tensors)
            patch.setattr(torch, "randn", lambda *shape, **_: noise.reshape(shape))  # noqa: B023
            state = torch.from_numpy(space.normalize(seen["joints"]))
            theirs_here = model.action_head.sample(features, current_state=state)[0].numpy()
        difference = torch_chunk(checkpoint, seen)[0] - space.denormalize(theirs_here)
        worst = max(worst, float(np.abs(difference).max()))
    return worst


def against_network(checkpoint: Checkpoint, engine: Engine) -> float:
    """Largest difference of whole chunks from our torch networks."""

    def run(seen: Any) -> Any:
        shaped = {key: value.reshape(engine.inputs[key].shape) for key, value in seen.items()}
        return infer(engine, shaped)["chunk"]

    return float(heads_error(checkpoint, run, SAMPLES, seed=1).max())


def noise_errors(
    checkpoint: Checkpoint, dit: DitHead, upstream: Any, engine: Engine
) -> tuple[float, float]:
    """Largest difference of a noise prediction: network from upstream, plan from network."""
    assert isinstance(engine, DenoisingEngine)
    tick, step = engine._tick, engine._step
    network = plan = 0.0
    random = np.random.default_rng(0)
    for seen in sample_inputs(checkpoint, SAMPLES, seed=2):
        given = {key: seen[key].reshape(tick.inputs[key].shape) for key in tick.inputs}
        modulation = infer(tick, given)["modulation"]
        tensors = {key: torch.from_numpy(v) for key, v in seen.items() if key != "noise"}
        for at, time in enumerate(dit.times[:-1]):
            x = random.standard_normal(step.inputs["x"].shape, dtype=np.float32)
            with torch.inference_mode():
                features = checkpoint.module.fused(**tensors)
                ours = dit.predicted_noise(torch.from_numpy(x), time, features)
                theirs = upstream._forward_with_t(
                    torch.from_numpy(x), torch.full((1,), time), features
                )
            made = infer(step, {"x": x, "modulation": modulation[at : at + 1]})["predicted"]
            network = max(network, float((ours - theirs).abs().max()))
            plan = max(plan, float(np.abs(made - ours.numpy()).max()))
    return network, plan


def saturated(checkpoint: Checkpoint) -> float:
    """Share of a dit's chunk that ends within 1e-3 half ranges of a limit."""
    middle, half = (np.array(v) for v in (checkpoint.actions.middle, checkpoint.actions.half_range))
    away = [
        np.abs((torch_chunk(checkpoint, seen) - middle) / half) > 0.999
        for seen in sample_inputs(checkpoint, SAMPLES, seed=3)
    ]
    return float(np.mean(away))


def main() -> None:
    """Measure all, print, exit 1 if anything misses its limit."""
    parser = argparse.ArgumentParser(description="Parity of every head in every control mode.")
    parser.add_argument("--full", action="store_true", help="upstream's default sizes; slow")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    cases = [(head, mode, chosen.full) for head in HEADS for mode in MODES]
    more = [("mlp", name, False) for name in (*SENSORS, "all")]
    more += [("flow", name, False) for name in (*SENSORS, "all")]
    more += [(head, name, False) for head in ("mlp", "flow") for name in AUDIO]
    more += [("flow cross", WITH_TOKENS, False), ("flow", "imu", True), ("mlp", "imu", True)]
    extra = [(head, SENSOR_MODE, chosen.full, name, relative) for head, name, relative in more]
    tasks = [functools.partial(measured, *case) for case in (*cases, *extra)]
    tasks += [functools.partial(measured_own, head, mode) for head in OWN for mode in MODES]
    for task in tasks:
        rows.append(task())
        if not chosen.json:
            print(line(rows[-1]), flush=True)
    print(json.dumps(rows, indent=2) if chosen.json else summary(rows))
    kept = [row for row in rows if "refused" not in row]
    sys.exit(0 if all(max(row["network"] or 0, row["plan"]) <= row["limit"] for row in kept) else 1)


def summary(rows: list[dict[str, Any]]) -> str:
    """The worst of every head over its modes, as a table."""
    lines = ["", "| head | modes | network | plan | limit |", "| --- | --- | --- | --- | --- |"]
    for head in dict.fromkeys(row["head"] for row in rows):
        own = [row for row in rows if row["head"] == head]
        kept = [row for row in own if "refused" not in row]
        modes, refused = ({row["mode"] for row in part} for part in (kept, own))
        refused -= modes
        told = f"{len(modes)}" + (f", {len(refused)} refused" if refused else "")
        network = max((row["network"] for row in kept if row["network"] is not None), default=None)
        plan = max(row["plan"] for row in kept)
        lines.append(f"| {head} | {told} | {spelt(network)} | {plan:.1e} | {kept[0]['limit']:g} |")
    return "\n".join(lines)


def spelt(value: float | None) -> str:
    """A difference from upstream, where there is one."""
    return "no upstream" if value is None else f"{value:.1e}"


def line(row: dict[str, Any]) -> str:
    """One row for people."""
    start = f"{row['head']:<24}{row['mode']:<18}"
    if "refused" in row:
        return f"{start}refused: {row['refused']}"
    extra = f"   saturated {row['saturated']:.0%}" if "saturated" in row else ""
    shown = f"network {spelt(row['network'])}   plan {row['plan']:.1e}   limit {row['limit']:g}"
    return start + shown + extra


if __name__ == "__main__":
    main()
