"""TRIBE's graphs against transformers' encoders and upstream's own fusion, on real content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pytest
import torch
from neon.model.tribe_backbone import (
    ModalityProjector,
    TribeBackboneConfig,
    TribeMultimodalBackbone,
)
from transformers import SeamlessM4TFeatureExtractor
from transformers.models.llama.modeling_llama import LlamaForCausalLM
from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2Model
from transformers.models.wav2vec2_bert.modeling_wav2vec2_bert import Wav2Vec2BertModel

from neon_edge.backbones import PartPlan
from neon_edge.backbones import tribe_torch as network
from neon_edge.backbones.tribe import (
    AudioEncoder,
    Budget,
    Fusion,
    TextEncoder,
    TribeConfig,
    VideoEncoder,
    encoder_parts,
    fusion_part,
    text_parts,
)
from neon_edge.build.graph import export_graph
from neon_edge.errors import ConfigWrong
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


@pytest.fixture(scope="module")
def encoders() -> dict[str, Any]:
    return {
        "video": awake(VJEPA2Model(network.video_config(TINY.video)), 0),
        "audio": awake(Wav2Vec2BertModel(network.audio_config(TINY.audio)), 1),
        "text": awake(LlamaForCausalLM(network.text_config(TINY.text)), 2),
    }


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tribe")


@pytest.fixture(scope="module")
def plans() -> dict[str, list[PartPlan]]:
    return encoder_parts(TINY)


def test_video_equals_transformers(
    encoders: dict[str, Any], plans: dict[str, list[PartPlan]], folder: Path
) -> None:
    model = encoders["video"]
    for start in (0, 1):
        clip = window(start)
        theirs = model(clip, skip_predictor=True).last_hidden_state.numpy()
        fed = {"video_patches": patched(clip)}
        ours = run(plans["video"], Stored(model), fed, folder)
        assert relative(ours, theirs) <= 1e-4


def test_audio_equals_transformers(
    encoders: dict[str, Any], plans: dict[str, list[PartPlan]], folder: Path
) -> None:
    model, heard = encoders["audio"], rows()
    assert heard.shape == (1, TINY.audio.tokens, 160)
    theirs = model(heard).last_hidden_state.numpy()
    ours = run(plans["audio"], Stored(model), {"audio_rows": heard.numpy()}, folder)
    assert relative(ours, theirs) <= 1e-4


def test_text_equals_transformers(
    encoders: dict[str, Any], plans: dict[str, list[PartPlan]], folder: Path
) -> None:
    model = encoders["text"]
    assert [plan.name for plan in plans["text"]] == ["text_0_1", "text_2_2"]
    for sentence in SENTENCES:
        ids, embeds = embedded(model, sentence)
        theirs = model(ids, output_hidden_states=True).hidden_states[-1].numpy()
        ours = run(plans["text"], Stored(model), {"text_embeds": embeds}, folder)
        assert relative(ours[:, : ids.shape[1]], theirs) <= 1e-4


@pytest.mark.parametrize("budget", [None, Budget(video=16, audio=33, text=52)])
@pytest.mark.parametrize("silenced", ["", "video", "audio"])
def test_everything_equals_upstream(
    encoders: dict[str, Any],
    plans: dict[str, list[PartPlan]],
    folder: Path,
    tmp_path: Path,
    budget: Budget | None,
    silenced: str,
) -> None:
    fusion = msgspec.structs.replace(TINY.fusion, budget=budget)
    config = msgspec.structs.replace(TINY, fusion=fusion)
    theirs, part, kept = upstream(config), fusion_part(config), config.kept()
    clip, heard = window(), rows()
    ids, embeds = embedded(encoders["text"], SENTENCES[0])
    stored = Stored(*encoders.values())
    made = {
        "video_features": run(plans["video"], stored, {"video_patches": patched(clip)}, folder),
        "audio_features": run(plans["audio"], stored, {"audio_rows": heard.numpy()}, folder),
        "text_features": run(plans["text"], stored, {"text_embeds": embeds}, folder),
    }
    told = {
        "video": encoders["video"](clip, skip_predictor=True).last_hidden_state,
        "audio": encoders["audio"](heard).last_hidden_state,
        "text": encoders["text"](ids, output_hidden_states=True).hidden_states[-1],
    }
    if silenced:
        made[f"{silenced}_features"] = np.zeros_like(made[f"{silenced}_features"])
        told[silenced] = torch.zeros_like(told[silenced])
    told |= {name: told[name][:, kept[name]] for name in ("video", "audio")}
    valid = np.ones((1, sum(map(len, kept.values()))), np.float32)
    valid[:, valid.shape[1] - (TINY.text.tokens - ids.shape[1]) :] = 0
    ours = run([part], Stored(theirs), made | {"valid": valid}, tmp_path)
    assert relative(ours, upstream_pooled(theirs, told)) <= 1e-4


def test_upstreams_cut_takes_sound_and_instruction_away() -> None:
    real = msgspec.structs.replace(TINY, video=VITG)
    assert real.video.tokens == 2048
    assert list(real.kept()["video"]) == list(range(512))
    assert real.lost() == [
        "video: 512 of 2048 tokens reach the heads",
        "audio never reaches the heads: all of its 99 tokens are cut",
        "text never reaches the heads: all of its 52 tokens are cut",
    ]
    assert list(encoder_parts(real)) == ["video"], "what is cut is not run"
    assert [spec.name for spec in fusion_part(real).inputs] == ["video_features", "valid"]
    assert TINY.lost() == []


def test_the_cut_one_equals_upstream(tmp_path: Path) -> None:
    fusion = msgspec.structs.replace(TINY.fusion, max_seq_len=90)
    config = msgspec.structs.replace(TINY, fusion=fusion)
    assert [len(places) for places in config.kept().values()] == [32, 58, 0]
    draw = torch.Generator().manual_seed(4)
    features = {
        name: torch.randn((1, config.made[name], config.widths[name]), generator=draw)
        for name in config.made
    }
    theirs = upstream(config)
    fed = {f"{name}_features": made.numpy() for name, made in features.items()}
    fed["valid"] = np.ones((1, 90), np.float32)
    ours = run([fusion_part(config)], Stored(theirs), fed, tmp_path)
    assert relative(ours, upstream_pooled(theirs, features)) <= 1e-4


@pytest.mark.parametrize("budget", [Budget(33, 0, 0), Budget(0, 0, 0), Budget(32, 99, -1)])
def test_a_budget_that_does_not_fit(budget: Budget) -> None:
    fusion = msgspec.structs.replace(TINY.fusion, budget=budget)
    with pytest.raises(ConfigWrong, match="does not fit"):
        msgspec.structs.replace(TINY, fusion=fusion).kept()


def test_upstreams_parameters_by_name() -> None:
    part = network.FusionPart(TINY)
    ours = {network.upstream_name(n): tuple(p.shape) for n, p in part.named_parameters()}
    theirs = {n: tuple(p.shape) for n, p in upstream(TINY).named_parameters()}
    assert ours == theirs


def test_every_part_is_a_tensorrt_graph(
    encoders: dict[str, Any], plans: dict[str, list[PartPlan]], tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    from neon_edge.engine.rtx import compile_rtx

    source = Stored(*encoders.values(), upstream(TINY))
    for plan in (*plans["video"], *plans["audio"], *plans["text"], fusion_part(TINY)):
        file = tmp_path / f"{plan.name}.onnx"
        export_graph(plan.module(source), plan, file)
        compile_rtx(file, file.with_suffix(".plan"))
        assert file.with_suffix(".plan").stat().st_size > 10_000


def test_real_sizes() -> None:
    with torch.device("meta"):
        video = VJEPA2Model(network.video_config(VITG)).encoder
        ear = AudioEncoder(24, 1024, 16, 4096, 1e-5, 160, 31, 64, 8, 749)
        audio = Wav2Vec2BertModel(network.audio_config(ear))
        scaling = (32.0, 1.0, 4.0, 8192)
        llama = TextEncoder(28, 3072, 24, 8, 128, 8192, 128256, 1e-5, 5e5, 131072, 64, scaling, 4)
        text = LlamaForCausalLM(network.text_config(llama)).model
    count = {
        name: sum(p.numel() for p in model.parameters()) / 1e9
        for name, model in (("video", video), ("audio", audio), ("layers", text.layers))
    }
    assert count == pytest.approx({"video": 1.01, "audio": 0.58, "layers": 2.818}, rel=1e-2)
    assert len(text_parts(llama)) == 7
