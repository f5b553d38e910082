"""The benches on trained weights, run through on a random network of two layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from neon_edge.build.recipe import Quantise
from neon_edge.engine.manifest import read_manifest
from tests.bench import smollm_bundle, trained_heads
from tests.bench.bench_auto import beside_eager, chosen, lines
from tests.bench.bench_joint_error import Judge
from tests.bench.peer_model import write_peer
from tests.build.quantise.sentences import calibration_texts, held_out_texts
from tests.build.quantise.smollm import SmolLm

pytestmark = pytest.mark.slow
WIDTH = 64


@pytest.fixture(scope="module")
def small() -> SmolLm:
    words = sorted(
        {w for t in (*calibration_texts(8, 11), *held_out_texts(8, 0)) for w in t.split()}
    )
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(["?", *words])}, "?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    config = LlamaConfig(
        vocab_size=len(words) + 1, hidden_size=WIDTH, intermediate_size=192, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, eos_token_id=0,
        attn_implementation="eager",
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    return SmolLm(model, PreTrainedTokenizerFast(tokenizer_object=tokenizer))


def test_the_builds_own_choice_runs_on_a_wrapped_network(
    small: SmolLm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, few in (("LEARN", 3), ("ASIDE", 4), ("TRAINED", 6), ("UPDATES", 10)):
        monkeypatch.setattr(smollm_bundle, name, few)
    plans = chosen(small, "mlp", tmp_path, Quantise())
    manifest = read_manifest(plans)
    assert [row.name for row in manifest.candidates] == ["float", "int8", "int4"]
    assert manifest.candidates[0].passed
    eager, plan = beside_eager(small, plans)
    said = "\n".join(lines(manifest, eager, plan))
    assert eager > 0 and "times, bar 4" in said and "of held out sentences" in said


@pytest.mark.parametrize("head", trained_heads.TYPES)
def test_every_head_has_a_row(tmp_path: Path, head: str) -> None:
    chance = np.random.default_rng(0)
    seen = chance.standard_normal((24, WIDTH), np.float32)
    # Upstream's ensemble samples its diffusion at every update: ten seconds each.
    updates = 1 if head == "ensemble" else 5
    checkpoint, poses = trained_heads.train(head, seen, tmp_path, updates=updates)
    judge = Judge(checkpoint, poses, seen[:3])
    near, far = (judge.row(seen[:3] * np.float32(1 + e)) for e in (0, 0.05))
    if head == "fast":
        # So little taught, it may write no chunk at all, on either side.
        assert near["no chunk"] == 0 and 0 <= far["no chunk"] <= 1
        return
    told = "noise" if head == "dit" else "max rad"
    assert near[told] == 0 < far[told]
    assert ("p99 rad" in far) == (head != "dit")
    assert ("noise" in far) == (head in ("dit", "ensemble"))


def test_a_peer_is_given_the_same_network_and_passages(small: SmolLm, tmp_path: Path) -> None:
    write_peer(small, tmp_path, count=3, drawn=5)
    theirs = LlamaForCausalLM.from_pretrained(tmp_path / "float", attn_implementation="eager")
    feeds = small.calibration(5)[:3]
    with np.load(tmp_path / "ids.npz") as stored:
        assert sorted(stored.files) == ["000", "001", "002"]
        for name, feed in zip(sorted(stored.files), feeds, strict=True):
            ids = stored[name]
            again = theirs.model.embed_tokens(torch.from_numpy(ids))
            np.testing.assert_array_equal(again.detach(), feed["text_embeds"][0, : len(ids)])
    for name, value in small.model.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name
