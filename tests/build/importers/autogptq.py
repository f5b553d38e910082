"""Checkpoints in auto-gptq's and AutoAWQ's layouts, spelled out number by number.

Nothing here is shared with what reads them: words are built by adding shifted integers, one at a
time, as the layouts are described in the projects' documentation (AutoGPTQ `qlinear_cuda.py`,
AutoAWQ `packing_utils.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from neon_edge.build.recipe import Recipe
from neon_edge.build.tokenizer import train_tokenizer
from neon_edge.build.weights import open_weights
from tests.build.published_words import config_json

GROUP = 32
GPTQ = {
    "quant_method": "gptq", "bits": 4, "group_size": GROUP, "sym": True, "desc_act": False,
    "checkpoint_format": "gptq",
}  # fmt: skip
AWQ = {
    "quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm", "zero_point": True,
}  # fmt: skip


def word(nibbles: Sequence[int]) -> int:
    """Eight values of 0 to 15 as one signed 32-bit word, the first in the lowest bits."""
    total = sum(int(value) << (4 * place) for place, value in enumerate(nibbles))
    return total - (1 << 32) if total >= 1 << 31 else total


def gptq_layer(weight: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """Symmetric, format v1: tensors, and the weight (outputs, inputs) that they stand for."""
    outputs, inputs = weight.shape
    scales = np.abs(weight.reshape(outputs, -1, GROUP)).max(axis=2).T / 7
    scales = np.maximum(scales, 1e-4).astype(np.float16)  # (groups, outputs)
    steps = scales.astype(np.float32).repeat(GROUP, axis=0).T
    codes = np.clip(np.rint(weight / steps) + 8, 0, 15).astype(int)
    qweight = [
        [word([codes[out, 8 * row + k] for k in range(8)]) for out in range(outputs)]
        for row in range(inputs // 8)
    ]
    # A zero point of 8 is stored as 7: version 1 takes one away.
    qzeros = [[word([7] * 8)] * (outputs // 8)] * (inputs // GROUP)
    tensors = {
        "qweight": torch.tensor(qweight, dtype=torch.int32),
        "qzeros": torch.tensor(qzeros, dtype=torch.int32),
        "scales": torch.from_numpy(np.ascontiguousarray(scales)),
        "g_idx": torch.arange(inputs, dtype=torch.int32) // GROUP,
    }
    return tensors, ((codes - 8) * steps).astype(np.float32)


def awq_layer(weight: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """Asymmetric: tensors, and the weight (outputs, inputs) that they stand for."""
    outputs, inputs = weight.shape
    blocks = weight.reshape(outputs, -1, GROUP)
    low, high = blocks.min(axis=2).clip(max=0), blocks.max(axis=2).clip(min=0)
    scales = np.maximum((high - low) / 15, 1e-4).astype(np.float16)
    wide = scales.astype(np.float32)
    zeros = np.clip(np.rint(-low / wide), 0, 15).astype(int)  # (outputs, groups)
    codes = np.clip(np.rint(blocks / wide[..., None]) + zeros[..., None], 0, 15).astype(int)
    whole = ((codes - zeros[..., None]) * wide[..., None]).reshape(outputs, inputs)
    codes = codes.reshape(outputs, inputs)
    order = (0, 2, 4, 6, 1, 3, 5, 7)

    def packed(values: np.ndarray) -> torch.Tensor:  # (rows, outputs)
        rows = [
            [word([row[8 * c + k] for k in order]) for c in range(outputs // 8)] for row in values
        ]
        return torch.tensor(rows, dtype=torch.int32)

    tensors = {
        "qweight": packed(codes.T),
        "qzeros": packed(zeros.T),
        "scales": torch.from_numpy(np.ascontiguousarray(scales.T)),
    }
    return tensors, whole.astype(np.float32)


def publish(recipe: Recipe, directory: Path, config: dict[str, Any], modules: str) -> set[str]:
    """The recipe's random weights, every matrix whose name holds `modules` quantised.

    Returns the names of those. A zero bias stands where auto-gptq leaves one.
    """
    layer = gptq_layer if config["quant_method"] == "gptq" else awq_layer
    source = open_weights("random:3", recipe)
    stored: dict[str, torch.Tensor] = {}
    quantised = set()
    for name, shape in recipe.adaptor.tensors().items():
        value = source.tensor(name)
        module = name.removesuffix(".weight")
        if modules in name and len(shape) == 2:
            tensors, _ = layer(value.numpy())
            stored |= {f"{module}.{field}": tensor for field, tensor in tensors.items()}
            quantised.add(module)
        else:
            stored[name] = value
    if config["quant_method"] == "gptq":
        for module in quantised:
            stored.setdefault(f"{module}.bias", torch.zeros(1, dtype=torch.float16))
    save_file(stored, directory / "gptq_model-4bit-32g.safetensors")
    written = {**config_json(recipe), "quantization_config": config}
    (directory / "config.json").write_text(json.dumps(written))
    train_tokenizer(recipe.adaptor.special_tokens).save(str(directory / "tokenizer.json"))
    return quantised
