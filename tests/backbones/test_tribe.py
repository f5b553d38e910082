"""TRIBE's graphs against transformers' encoders and upstream's own fusion, on real content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaForCausalLM
from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2Model
from transformers.models.wav2vec2_bert.modeling_wav2vec2_bert import Wav2Vec2BertModel

from neon_edge.backbones import PartPlan, tribe_configs, tribe_fusion
from neon_edge.backbones.tribe import AudioEncoder, Budget, TextEncoder
from neon_edge.backbones.tribe_parts import encoder_parts, fusion_part, text_parts
from neon_edge.build.graph import export_graph
from neon_edge.errors import ConfigWrong
from tests.backbones.tribe_bench import (
    SENTENCES,
    TINY,
    VITG,
    Stored,
    awake,
    embedded,
    patched,
    relative,
    rows,
    run,
    upstream,
    upstream_pooled,
    window,
)


@pytest.fixture(scope="module")
def encoders() -> dict[str, Any]:
    return {
        "video": awake(VJEPA2Model(tribe_configs.video_config(TINY.video)), 0),
        "audio": awake(Wav2Vec2BertModel(tribe_configs.audio_config(TINY.audio)), 1),
        "text": awake(LlamaForCausalLM(tribe_configs.text_config(TINY.text)), 2),
    }


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
    ours = run([part], Stored(theirs), made | {"pool_weights": valid / valid.sum()}, tmp_path)
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
    assert [spec.name for spec in fusion_part(real).inputs] == ["video_features", "pool_weights"]
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
    fed["pool_weights"] = np.full((1, 90), 1 / 90, np.float32)
    ours = run([fusion_part(config)], Stored(theirs), fed, tmp_path)
    assert relative(ours, upstream_pooled(theirs, features)) <= 1e-4


@pytest.mark.parametrize("budget", [Budget(33, 0, 0), Budget(0, 0, 0), Budget(32, 99, -1)])
def test_a_budget_that_does_not_fit(budget: Budget) -> None:
    fusion = msgspec.structs.replace(TINY.fusion, budget=budget)
    with pytest.raises(ConfigWrong, match="does not fit"):
        msgspec.structs.replace(TINY, fusion=fusion).kept()


def test_upstreams_parameters_by_name() -> None:
    part = tribe_fusion.FusionPart(TINY)
    ours = {tribe_fusion.upstream_name(n): tuple(p.shape) for n, p in part.named_parameters()}
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
        video = VJEPA2Model(tribe_configs.video_config(VITG)).encoder
        ear = AudioEncoder(24, 1024, 16, 4096, 1e-5, 160, 31, 64, 8, 749)
        audio = Wav2Vec2BertModel(tribe_configs.audio_config(ear))
        scaling = (32.0, 1.0, 4.0, 8192)
        llama = TextEncoder(
            28, 3072, 24, 8, 128, 8192, 128256, 1e-5, 5e5, 131072, 64,
            rope_scaling=scaling, layers_per_part=4,
        )  # fmt: skip

        text = LlamaForCausalLM(tribe_configs.text_config(llama)).model
    count = {
        name: sum(p.numel() for p in model.parameters()) / 1e9
        for name, model in (("video", video), ("audio", audio), ("layers", text.layers))
    }
    assert count == pytest.approx({"video": 1.01, "audio": 0.58, "layers": 2.818}, rel=1e-2)
    assert len(text_parts(llama)) == 7
