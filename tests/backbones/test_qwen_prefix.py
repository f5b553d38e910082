"""Tokens that no pass changes, folded into the graphs: the same features from fewer rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from neon_edge.backbones import PartPlan
from neon_edge.build.export import export_backbone, tokenised
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.build.reference import reference_pooled
from neon_edge.build.tokenizer import open_tokenizer
from neon_edge.build.weights import Weights, open_weights
from neon_edge.engine.manifest import Prompt
from neon_edge.types import Float32
from tests.tiny_backbone import ENGINES, Exported, street

TOLERANCE = 2e-6
"""Stated in engines/README.md: of the largest feature, in float32."""
CUTS = [
    ("qwen_vl_tiny", {}),
    ("qwen_vl_tiny", {"layers_per_part": 2, "tap": "pre_norm", "pictures": 2}),
    ("cosmos_reason2_tiny", {}),
    ("cosmos_reason2_tiny", {"layers_per_part": 1, "pictures": 2}),
    ("qwen_omni_tiny", {"audio_seconds": 2, "layers_per_part": 3}),
]


def cut_so(name: str, changes: dict[str, object]) -> Recipe:
    recipe = load_recipe(ENGINES / name)
    cut = msgspec.structs.replace(recipe.text.cut, **changes)
    return Recipe(msgspec.structs.replace(recipe.text, cut=cut), recipe.directory)


def opened(recipe: Recipe) -> tuple[Weights, Prompt]:
    source = open_weights("random:0", recipe)
    tokenizer = open_tokenizer(source, recipe.adaptor)
    return source, tokenised(recipe.adaptor, tokenizer, recipe.text.cut)


def drawn(plans: list[PartPlan], prompt: Prompt, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Host inputs of a full pass, whatever `plans` leave out of it."""
    chance = np.random.default_rng(1)
    made = {spec.name for plan in plans for spec in plan.outputs}
    wanted = {spec.name: spec for plan in plans for spec in plan.inputs if spec.name not in made}
    fed = {
        name: chance.normal(0, 1, spec.shape).astype(np.float32) for name, spec in wanted.items()
    }
    total = wanted["pool_weights"].shape[1]
    fed["pool_weights"] = np.zeros((1, total), np.float32)
    fed["pool_weights"][0, : total - 7] = 1 / (total - 7)
    table = open_weights("random:0", recipe).tensor(recipe.adaptor.embedding)
    ids = prompt.before + prompt.between + [3] * prompt.text_tokens
    fed["text_embeds"] = table[ids[: prompt.text_tokens]][None].numpy()
    return {name: torch.from_numpy(values) for name, values in fed.items()}


def ran(plans: list[PartPlan], source: Weights, known: dict[str, torch.Tensor]) -> Float32:
    tensors = dict(known)
    for plan in plans:
        with torch.no_grad():
            made = plan.module(source)(*(tensors[spec.name] for spec in plan.inputs))
        made = made if isinstance(made, tuple) else (made,)
        tensors.update(zip((spec.name for spec in plan.outputs), made, strict=True))
    pooled: Float32 = tensors["pooled"].numpy()
    return pooled


@pytest.mark.parametrize(("name", "changes"), CUTS)
def test_a_folded_pass_equals_a_full_one(name: str, changes: dict[str, object]) -> None:
    full, folded = cut_so(name, changes), cut_so(name, {**changes, "fold_prefix": True})
    source, prompt = opened(full)
    _, short = opened(folded)
    assert prompt.folded == 0
    assert short.folded == len(short.before) > 3
    plans, fewer = full.adaptor.parts(prompt), folded.adaptor.parts(short)
    known = drawn(plans, prompt, full)
    wanted = ran(plans, source, known)
    cut_off = known | {"text_embeds": known["text_embeds"][:, short.folded :]}
    found = ran(fewer, source, cut_off)
    assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()
    for plan, less in zip(plans[1:], fewer[1:], strict=True):
        for spec, fewer_rows in zip(plan.inputs, less.inputs, strict=True):
            if spec.name == "text_embeds" or spec.name.startswith("hidden"):
                assert fewer_rows.shape[1] == spec.shape[1] - short.folded


def test_what_is_folded_matters() -> None:
    """Other words ahead of the picture, other features: the kept keys are attended to."""
    recipe = cut_so("qwen_vl_tiny", {"fold_prefix": True})
    source, prompt = opened(recipe)
    plans = recipe.adaptor.parts(prompt)
    known = drawn(plans, prompt, recipe)
    known["text_embeds"] = known["text_embeds"][:, : prompt.text_tokens - prompt.folded]
    other = msgspec.structs.replace(prompt, before=prompt.before[::-1])
    found = [ran(recipe.adaptor.parts(each), source, known) for each in (prompt, other)]
    assert np.abs(found[0] - found[1]).max() > 1e-3 * np.abs(found[0]).max()


def test_a_part_by_itself_is_the_part_of_a_whole_build() -> None:
    """A build that goes on behind finished parts has not run their layers."""
    recipe = cut_so("cosmos_reason2_tiny", {"fold_prefix": True, "layers_per_part": 2})
    source, prompt = opened(recipe)

    def last(make: Callable[[], list[PartPlan]], skip: int) -> dict[str, torch.Tensor]:
        modules = [plan.module(source) for plan in make()[skip:]]
        return dict(modules[-1].named_buffers())

    whole = last(lambda: recipe.adaptor.parts(prompt), 0)
    alone = last(lambda: recipe.adaptor.parts(prompt), 2)
    again = recipe.adaptor.parts(prompt)
    again[2].module(source)
    twice = last(lambda: again, 1)
    assert {"kept.0.keys", "kept.1.values", "ahead"} <= whole.keys()
    for name, table in whole.items():
        assert torch.equal(alone[name], table), name
        assert torch.equal(twice[name], table), name


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_graph_equals_transformers_and_compiles(precision: str, tmp_path: Path) -> None:
    from neon_edge.types import CameraFrame

    recipe = cut_so("cosmos_reason2_tiny", {"fold_prefix": True})
    text = msgspec.structs.replace(recipe.text, precision=precision)
    recipe = Recipe(text, recipe.directory)
    exported = Exported(recipe, tmp_path, export_backbone(recipe, None, tmp_path))
    for index, picture in enumerate(street()[:2]):
        frames = [CameraFrame(picture, 1, "street")]
        words = ("Wave.", "Pick up the red cup.")[index]
        ours, theirs = exported.pooled(frames, words), reference_pooled(recipe, None, frames, words)
        cosine = float(ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs))
        assert cosine >= 0.9999
        if precision == "fp32":
            assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()
    pytest.importorskip("tensorrt_rtx_bindings")
    from neon_edge.engine.rtx import compile_rtx

    decoder = exported.manifest.parts[-1]
    compile_rtx(tmp_path / decoder.onnx, tmp_path / "decoder.plan")
    assert (tmp_path / "decoder.plan").stat().st_size > 100_000
