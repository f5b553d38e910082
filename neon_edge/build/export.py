"""A recipe and weights → the backbone's portable bundle: one ONNX graph a part, and its host side.

    open_weights ─▶ tokenizer.json, embeddings.npy, part.onnx … ─▶ BackboneManifest

Parts are made, written and dropped one after the other: the peak is the largest part, not the
model.
"""

from __future__ import annotations

import gc
import hashlib
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import onnx
from tokenizers import Tokenizer

from neon_edge.backbones import Adaptor, Cut, PartPlan
from neon_edge.backbones.contract import Joined
from neon_edge.build.graph import export_graph
from neon_edge.build.islands import lint_islands
from neon_edge.build.ledger import AtOnce, Steps
from neon_edge.build.recipe import Precision, Recipe
from neon_edge.build.tokenizer import open_tokenizer
from neon_edge.build.weights import Weights, open_weights
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import (
    AudioGeometry,
    BackboneManifest,
    ImageGeometry,
    Part,
    Prompt,
)
from neon_edge.errors import ConfigWrong

TOKENIZER = "tokenizer.json"
EMBEDDINGS = "embeddings.npy"


def export_backbone(
    recipe: Recipe,
    weights: str | Weights | None,
    directory: Path,
    steps: Steps | None = None,
) -> BackboneManifest:
    """Write graphs, embedding table and tokenizer into `directory`; say what they are.

    Raises `ConfigWrong` where the weights are not the recipe's.
    """
    directory.mkdir(parents=True, exist_ok=True)
    source = weights if isinstance(weights, Weights) else open_weights(weights, recipe)
    adaptor = recipe.adaptor
    tokenizer = open_tokenizer(source, adaptor)
    prompt = tokenised(adaptor, tokenizer, recipe.text.cut)
    parts = _write(recipe, source, tokenizer, adaptor.parts(prompt), directory, steps or AtOnce())
    text, image, audio, digest = recipe.text, adaptor.image, adaptor.audio, source.sha256
    streams = adaptor.streams if isinstance(adaptor, Joined) else None
    return BackboneManifest(
        recipe=text.name,
        family=text.family,
        model_id=text.model_id,
        revision=text.revision,
        licence=text.licence,
        weights=source.origin,
        weights_sha256=digest,
        tap=text.cut.tap,
        pooled_width=adaptor.width,
        tokens=sum(streams.kept.values()) if streams else sequence(image, audio, prompt),
        model_hash=model_hash(recipe, prompt, digest, sha256_file(directory / TOKENIZER)),
        image=image,
        prompt=prompt,
        parts=parts,
        vision_apart=text.cut.vision_apart,
        precision=text.precision,
        audio=audio,
        streams=streams,
        sources=list(source.sources),
    )


def sequence(image: ImageGeometry, audio: AudioGeometry | None, prompt: Prompt) -> int:
    """Tokens of pictures, sound and text in one sequence."""
    heard = audio.tokens if audio is not None else 0
    return prompt.text_tokens + image.steps * image.picture_tokens + heard


def _write(
    recipe: Recipe,
    source: Weights,
    tokenizer: Tokenizer,
    plans: list[PartPlan],
    directory: Path,
    steps: Steps,
) -> list[Part]:
    """The tokenizer, the embedding table and every graph, a step each."""

    def written(plan: PartPlan) -> Part:
        return write_part(plan, source, directory, recipe.text.precision)

    def words() -> str:
        # Not by its own `save`, whose errors name no cause.
        (directory / TOKENIZER).write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
        return TOKENIZER

    def table() -> str:
        write_embeddings(recipe, source, directory / EMBEDDINGS)
        return EMBEDDINGS

    steps.expect(2 + len(plans))
    steps.step("tokenizer", str, words, lambda name: [name])
    steps.step("embedding table", str, table, lambda name: [name])
    return [
        steps.step(
            f"export {plan.name}",
            Part,
            partial(written, plan),
            lambda part: {part.onnx: part.onnx_sha256},
        )
        for plan in plans
    ]


def write_part(
    plan: PartPlan, source: Weights, directory: Path, precision: Precision = "fp32"
) -> Part:
    """Make one part's module, write its graph, let both go."""
    file = directory / f"{plan.name}.onnx"
    export_graph(plan.module(source), plan, file, precision)
    if precision != "fp32":
        lint_islands(onnx.load(file, load_external_data=False))
    # The exporter leaves cycles behind that hold every weight; the next part needs the room.
    gc.collect()
    return Part(
        name=plan.name,
        onnx=file.name,
        onnx_sha256=sha256_file(file),
        inputs=list(plan.inputs),
        outputs=list(plan.outputs),
    )


def write_embeddings(recipe: Recipe, source: Weights, path: Path) -> None:
    """The embedding table (vocabulary, width) as .npy, to be memory-mapped on the robot.

    Where no text reaches the features, it has no rows.
    """
    if recipe.adaptor.embedding not in recipe.adaptor.tensors():
        np.save(path, np.empty((0, 0), np.dtype(recipe.text.embeddings)))
        return
    table = source.tensor(recipe.adaptor.embedding).numpy()
    dtype = np.dtype(recipe.text.embeddings)
    # Both ends and not the magnitudes: no copy of a table of gigabytes for one number.
    largest = max(float(table.max()), -float(table.min()))
    if largest > np.finfo(dtype).max:
        raise ConfigWrong(
            "the embedding table does not fit its recipe's type",
            f"largest magnitude {largest:.3g}, {dtype} ends at {np.finfo(dtype).max}",
            'set embeddings = "float32"',
        )
    np.save(path, table.astype(dtype, copy=False))


def tokenised(adaptor: Adaptor, tokenizer: Tokenizer, cut: Cut) -> Prompt:
    """The chat template as ids. Raises `ConfigWrong` where it leaves an instruction no room."""

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    template, steps, text_tokens = adaptor.template, adaptor.image.steps, cut.text_tokens
    before, gaps = ids(template.before), [ids(gap) for gap in template.between_pictures(steps)]
    between, after, heard = ids(template.between), ids(template.after), ids(template.heard)
    taken = sum(map(len, (before, *gaps, between, heard, after)))
    if taken >= text_tokens:
        raise ConfigWrong(
            "the chat template leaves no room for an instruction",
            f"it takes {taken} of text_tokens = {text_tokens}",
            "raise text_tokens in the recipe",
        )
    return Prompt(
        before=before,
        between=between,
        after=after,
        text_tokens=text_tokens,
        pad_id=adaptor.special_tokens[adaptor.pad_token],
        tokenizer=TOKENIZER,
        embeddings=EMBEDDINGS,
        separator=gaps[0] if gaps and not template.gaps else [],
        heard=heard,
        folded=len(before) if cut.fold_prefix else 0,
        gaps=gaps if template.gaps else [],
    )


def model_hash(recipe: Recipe, prompt: Prompt, weights_sha256: str, tokenizer_sha256: str) -> str:
    """16 hex digits over everything that shapes the features."""
    digest = hashlib.sha256(recipe.config_bytes)
    digest.update(msgspec.json.encode([prompt, weights_sha256, tokenizer_sha256], order="sorted"))
    return digest.hexdigest()[:16]
