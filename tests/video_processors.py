"""Transformers' own processors of videos, with torchvision's calls made by torch itself."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast, WhisperFeatureExtractor
from transformers import image_processing_backends as backends
from transformers import video_processing_utils as processing
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from neon_edge.build.recipe import Recipe
from neon_edge.build.tokenizer import open_tokenizer
from neon_edge.build.weights import open_weights

MODELS = "transformers.models."
QWEN2 = ("qwen2_vl.video_processing_qwen2_vl", "Qwen2VLVideoProcessor")
QWEN3 = ("qwen3_vl.video_processing_qwen3_vl", "Qwen3VLVideoProcessor")
FAMILIES = {
    "qwen_vl": (("qwen2_5_vl.processing_qwen2_5_vl", "Qwen2_5_VLProcessor"), QWEN2),
    "qwen_omni": (("qwen2_5_omni.processing_qwen2_5_omni", "Qwen2_5OmniProcessor"), QWEN2),
    "qwen3_vl": (("qwen3_vl.processing_qwen3_vl", "Qwen3VLProcessor"), QWEN3),
}


class _Functional(ModuleType):
    """`torchvision.transforms.v2.functional`, as far as the processors call it."""

    InterpolationMode = type("Mode", (), {"BILINEAR": 0, "LANCZOS": 1, "BICUBIC": "bicubic"})

    @staticmethod
    def resize(image: torch.Tensor, size: Any, interpolation: str, antialias: bool) -> torch.Tensor:
        flat = image.reshape(-1, *image.shape[-3:])
        small = torch.nn.functional.interpolate(
            flat, list(size), mode=interpolation, antialias=antialias
        )
        return small.reshape(*image.shape[:-2], *size)

    @staticmethod
    def normalize(image: torch.Tensor, mean: Any, std: Any, **_: object) -> torch.Tensor:
        stats = [torch.as_tensor(part, dtype=torch.float32)[:, None, None] for part in (mean, std)]
        return (image - stats[0]) / stats[1]

    @staticmethod
    def grayscale_to_rgb(image: torch.Tensor) -> torch.Tensor:
        assert image.shape[-3] == 3
        return image


@contextmanager
def video_processor(recipe: Recipe, pixels: int) -> Iterator[Any]:
    """The family's whole processor with the recipe's tokenizer; `pixels` is its size's limit."""
    whole, film = FAMILIES[recipe.text.family]
    with pytest.MonkeyPatch.context() as patch:
        functional = _Functional("torchvision.transforms.v2.functional")
        stack: list[ModuleType] = [functional]
        for place in ("torchvision.transforms.v2", "torchvision.transforms", "torchvision"):
            above = ModuleType(place)
            setattr(above, stack[-1].__name__.rpartition(".")[2], stack[-1])
            stack.append(above)
        for stub in stack:
            patch.setitem(sys.modules, stub.__name__, stub)
        for user in (backends, processing):
            patch.setattr(user, "tvF", functional, raising=False)
        modes = {number: "bicubic" for number in range(6)}
        patch.setattr(backends, "pil_torch_interpolation_mapping", modes, raising=False)
        try:
            yield _made(_class(*whole), _class(*film), recipe, pixels)
        finally:
            # It holds on to the stand-in.
            sys.modules.pop(MODELS + film[0], None)


def _class(module: str, name: str) -> Any:
    return getattr(importlib.import_module(MODELS + module), name)


def _made(processor_class: Any, film_class: Any, recipe: Recipe, pixels: int) -> Any:
    raw = open_tokenizer(open_weights(None, recipe), recipe.adaptor)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw)
    parts = {
        "image_processor": Qwen2VLImageProcessorPil(),
        "tokenizer": tokenizer,
        "video_processor": film_class(size={"shortest_edge": 3136, "longest_edge": pixels}),
    }
    if recipe.text.family == "qwen_omni":
        parts["feature_extractor"] = WhisperFeatureExtractor()
        for kind, token in (("image", "IMAGE"), ("video", "VIDEO"), ("audio", "AUDIO")):
            setattr(tokenizer, f"{kind}_token", f"<|{token}|>")
            setattr(tokenizer, f"{kind}_token_id", raw.token_to_id(f"<|{token}|>"))
        for kind in ("vision_bos", "vision_eos", "audio_bos", "audio_eos"):
            setattr(tokenizer, f"{kind}_token", f"<|{kind}|>")
    whole = object.__new__(processor_class)
    # It wants classes that transformers registered with torchvision there.
    whole.check_argument_for_proper_class = lambda *_: None
    processor_class.__init__(whole, **parts)
    return whole
