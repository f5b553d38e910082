"""TRIBE in small: its encoders, upstream's fusion, and real content to feed them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from neon.model.tribe_backbone import (
    ModalityProjector,
    TribeBackboneConfig,
    TribeMultimodalBackbone,
)
from transformers import SeamlessM4TFeatureExtractor

from neon_edge.backbones import PartPlan
from neon_edge.backbones.tribe import (
    AudioEncoder,
    Fusion,
    TextEncoder,
    TribeConfig,
    VideoEncoder,
)
from neon_edge.build.graph import export_graph
from neon_edge.types import Float32
from tests.tiny_backbone import street, track

SENTENCES = ["Pick up the red cup.", "Go.", "Wave with the right hand: 7 x schnell, and wait!!"]
TINY = TribeConfig(
    video=VideoEncoder(
        num_layers=2,
        hidden_size=88,
        num_heads=4,
        mlp_ratio=4.363636363636363,
        layer_norm_eps=1e-6,
        patch_size=16,
        tubelet_size=2,
        crop_size=64,
        frames=4,
    ),
    audio=AudioEncoder(
        num_layers=2,
        hidden_size=64,
        num_heads=4,
        intermediate_size=128,
        layer_norm_eps=1e-5,
        features=160,
        conv_kernel=31,
        left_positions=64,
        right_positions=8,
        tokens=99,
    ),
    text=TextEncoder(
        num_layers=3,
        hidden_size=96,
        num_heads=6,
        num_kv_heads=2,
        head_size=16,
        intermediate_size=160,
        vocab_size=256,
        rms_norm_eps=1e-5,
        rope_theta=5e5,
        max_positions=4096,
        tokens=52,
        rope_scaling=(32.0, 1.0, 4.0, 32),
        layers_per_part=2,
    ),
    fusion=Fusion(hidden_size=48, num_layers=2, num_heads=4, max_seq_len=512),
)
VITG = VideoEncoder(40, 1408, 22, 4.363636363636363, 1e-6, 16, 2, 256, 16)


class Stored:
    """Weights of models that exist, widened away from their initial values."""

    def __init__(self, *models: torch.nn.Module) -> None:
        self._state: dict[str, torch.Tensor] = {}
        for model in models:
            self._state |= model.state_dict()

    def tensor(self, name: str) -> torch.Tensor:
        """As stored."""
        return self._state[name].clone()


def awake(model: Any, seed: int) -> Any:
    """Every parameter at a magnitude that lets activations through."""
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        spread = 0.1 if parameter.ndim < 2 else parameter[0].numel() ** -0.5
        middle = 1.0 if parameter.ndim < 2 and name.endswith("weight") else 0.0
        parameter.data = middle + spread * torch.randn(parameter.shape, generator=draw)
    return model.eval().requires_grad_(False)


def upstream(config: TribeConfig) -> Any:
    """Upstream's own class, at our sizes."""
    fusion = config.fusion
    theirs = TribeMultimodalBackbone(
        TribeBackboneConfig(
            hidden_size=fusion.hidden_size,
            num_fusion_layers=fusion.num_layers,
            num_fusion_heads=fusion.num_heads,
            max_seq_len=fusion.max_seq_len,
        )
    )
    for name, width in config.widths.items():
        theirs.projectors[name] = ModalityProjector(width, fusion.hidden_size)
    theirs._loaded = True
    return awake(theirs, 3)


def upstream_pooled(theirs: Any, features: Mapping[str, torch.Tensor]) -> Float32:
    for name, encoder in (
        ("video", theirs.video_encoder),
        ("audio", theirs.audio_encoder),
        ("text", theirs.text_encoder),
    ):
        encoder.encode = lambda _, made=features[name]: made
    pooled: Float32 = theirs.encode(video_frames=[1], text="go", audio=1)["pooled"].numpy()
    return pooled


def relative(ours: Float32, theirs: Float32) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def run(plans: list[PartPlan], source: Any, fed: dict[str, Float32], folder: Path) -> Float32:
    import onnxruntime

    known = dict(fed)
    for plan in plans:
        file = folder / f"{plan.name}.onnx"
        if not file.exists():
            export_graph(plan.module(source), plan, file)
        session = onnxruntime.InferenceSession(str(file))
        taken = {spec.name: known[spec.name] for spec in plan.inputs}
        for spec in plan.inputs:
            assert list(known[spec.name].shape) == spec.shape
        names = [spec.name for spec in plan.outputs]
        known.update(zip(names, session.run(names, taken), strict=True))
    return np.asarray(known[plans[-1].outputs[0].name])


def window(start: int = 0) -> torch.Tensor:
    """Real frames with ImageNet's mean and deviation taken out, (1, frames, 3, height, width)."""
    clip = np.stack([frame[::4, ::4][:64, 40:104] for frame in street()[start : start + 4]])
    normed = (clip / 255.0 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    return torch.from_numpy(normed.astype(np.float32)).permute(0, 3, 1, 2)[None]


def patched(clip: torch.Tensor) -> Float32:
    """Tokens by tubelet, row, column; numbers by channel, frame, row, column."""
    pieces = clip[0].numpy().reshape(2, 2, 3, 4, 16, 4, 16).transpose(0, 3, 5, 2, 1, 4, 6)
    return np.ascontiguousarray(pieces.reshape(32, -1))


def rows(seconds: int = 2) -> torch.Tensor:
    """The filter bank of a real sound track, (1, tokens, 160)."""
    extractor = SeamlessM4TFeatureExtractor()
    heard = extractor(track(seconds), sampling_rate=16000, return_tensors="pt")
    return cast("torch.Tensor", heard["input_features"])


def embedded(model: Any, sentence: str) -> tuple[torch.Tensor, Float32]:
    """Ids (1, n), and what the host gathers for them, padded behind."""
    ids = torch.tensor([[1, *sentence.encode()]])
    padded = torch.zeros((1, TINY.text.tokens), dtype=torch.int64)
    padded[:, : ids.shape[1]] = ids
    return ids, model.model.embed_tokens(padded).numpy()
