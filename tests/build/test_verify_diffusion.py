"""What diffusing heads are gated on: exact where sampling would drown it, and not blind."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.build.heads import export_heads, sample_inputs, torch_chunk, torch_undenoised
from neon_edge.build.quantise.choose import _worth
from neon_edge.build.samples import Samples, Seen, read_samples, write_samples
from neon_edge.build.verify import NOISE
from neon_edge.build.verify_diffusion import undenoised
from neon_edge.build.verify_heads import _diffused
from neon_edge.build.verify_page import page
from neon_edge.checkpoint import load_checkpoint
from neon_edge.engine.denoise import DenoisingEngine
from neon_edge.engine.manifest import ErrorRow, Verification
from neon_edge.engine.plan import compile_part, open_heads_engine, this_machine
from tests.checkpoint.test_parity_samplers import SMALL
from tests.checkpoint.upstream import save_upstream
from tests.engine.machines import manifest_of

COUNT = 4


def built(directory: Path, head: str) -> tuple[Samples, DenoisingEngine]:
    """Samples as a bundle would hold them, one pose a frame, and the plans."""
    save_upstream(directory, control_mode="upper_body", action_head_type=head, **SMALL)
    checkpoint = load_checkpoint(directory)
    heads = export_heads(checkpoint, directory, "0" * 16)
    plans = [compile_part(directory, part, directory, "onnxruntime") for part in heads.parts]
    engine = open_heads_engine(directory, heads.with_parts(plans), this_machine("onnxruntime"))
    assert isinstance(engine, DenoisingEngine)
    rows = sample_inputs(checkpoint, COUNT, seed=0)
    made = [torch_undenoised(checkpoint, row) for row in rows]
    samples = Samples(
        cameras=(np.zeros((COUNT, 2, 2, 3), np.uint8),),
        instructions=["wave"] * COUNT,
        names=[f"frame {at}" for at in range(COUNT)],
        inputs={n: np.concatenate([row[n] for row in rows]) for n in rows[0] if n != "pooled"},
        pooled=np.concatenate([row["pooled"] for row in rows]),
        chunk=np.stack([torch_chunk(checkpoint, row)[0] for row in rows]),
        predicted=np.stack([each.predicted for each in made if each is not None]),
        undenoised=np.stack([each.chunk[0] for each in made if each is not None]),
    )
    return samples, engine


@pytest.mark.parametrize("head", ["dit", "ensemble"])
def test_exact_plans_pass_and_a_wrong_one_is_seen(tmp_path: Path, head: str) -> None:
    samples, engine = built(tmp_path, head)
    assert samples.predicted is not None and samples.undenoised is not None
    found = undenoised(engine, samples, samples.pooled)
    assert np.abs(found.predicted - samples.predicted).max() <= 1e-4
    assert np.abs(found.chunk - samples.undenoised).max() <= 1e-4
    # The diffusion's part of the chunk is the noise, so what is compared cannot all be at a limit.
    assert np.ptp(samples.undenoised) > 0.1
    other = undenoised(engine, samples, samples.pooled * np.float32(1.1))
    assert np.abs(other.predicted - samples.predicted).max() > 1e-3
    if head == "ensemble":
        assert np.abs(other.chunk - samples.undenoised).max() > 1e-3
    engine.close()


@pytest.mark.parametrize("head", ["dit", "ensemble"])
def test_no_radians_are_told_of_what_features_do_not_move(tmp_path: Path, head: str) -> None:
    samples, engine = built(tmp_path, head)
    stated = export_heads(load_checkpoint(tmp_path), tmp_path, "0" * 16)
    limits = Verification("s", "", "wave", 1e-4, 1e-4)
    moved = Seen(samples.pooled * np.float32(1.1))
    found = _diffused(engine, stated, samples, moved, limits)
    engine.close()
    failed = [gate.name for gate in found.gates if not gate.passed]
    names = [gate.name for gate in found.gates]
    assert names[:2] == ["heads alone, noise", "backbone and heads, noise"]
    assert "backbone and heads, noise" in failed and "heads alone, noise" not in failed
    assert found.noise is not None and found.noise.max() > 1e-3
    angles = "backbone and heads, all but the diffusion"
    assert found.moves == (angles in names) == (head == "ensemble")
    heads = msgspec.structs.replace(stated, head_type=head)
    row = ErrorRow(NOISE, 0.1, 0.2, 0.3, "half ranges")
    joint = [ErrorRow("elbow", 0.1, 0.2, 0.4, "rad")] if found.moves else []
    made = msgspec.structs.replace(manifest_of(), heads=heads, errors=[*joint, row], gates=[])
    said = f"{page(made, {}, {})} {_worth(made)}"
    if head == "dit":
        assert "no figure in radians" in said and "Error of every joint" not in said
        assert "largest noise error 0.3 half ranges" in said
    else:
        assert "all but the diffusion" in said and "largest joint error 0.4 rad (elbow)" in said


def test_samples_keep_what_a_diffusion_predicts(tmp_path: Path) -> None:
    samples, engine = built(tmp_path, "dit")
    engine.close()
    again = read_samples(tmp_path / "samples.npz", write_samples(tmp_path, samples))
    assert again.sounds is None
    for name in ("predicted", "undenoised", "chunk"):
        assert np.array_equal(getattr(again, name), getattr(samples, name))


def test_sampling_leaves_the_heads_as_they_were_and_others_have_nothing_to_say(
    tmp_path: Path,
) -> None:
    save_upstream(tmp_path / "dit", action_head_type="dit", **SMALL)
    checkpoint = load_checkpoint(tmp_path / "dit")
    [row] = sample_inputs(checkpoint, 1, seed=0)
    before = torch_chunk(checkpoint, row)
    assert torch_undenoised(checkpoint, row) is not None
    assert np.array_equal(torch_chunk(checkpoint, row), before)
    save_upstream(tmp_path / "flow", action_head_type="flow", **SMALL)
    assert torch_undenoised(load_checkpoint(tmp_path / "flow"), row) is None
