"""Checkpoints as their publishers hand them out: config.json, and TRIBE's folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers.models.llama.modeling_llama import LlamaForCausalLM
from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2Model
from transformers.models.wav2vec2_bert.modeling_wav2vec2_bert import Wav2Vec2BertModel

from neon_edge.backbones import tribe_configs
from neon_edge.build.recipe import Recipe
from neon_edge.build.tokenizer import train_tokenizer
from neon_edge.build.weights import Weights, open_weights


def config_json(recipe: Recipe) -> dict[str, Any]:
    """What transformers writes of a model of this recipe's sizes."""
    if recipe.text.family == "qwen_omni":
        from neon_edge.backbones.qwen_omni_torch import thinker_config

        thinker = json.loads(thinker_config(recipe.text.config).to_json_string(use_diff=False))
        return {"model_type": "qwen2_5_omni", "thinker_config": thinker}
    from neon_edge.backbones.qwen_vl_torch import vl_config

    written: dict[str, Any] = json.loads(vl_config(recipe.text.config).to_json_string())
    return written


def awake(model: Any, seed: int) -> Any:
    """Every parameter at a magnitude that lets activations through."""
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        spread = 0.1 if parameter.ndim < 2 else parameter[0].numel() ** -0.5
        middle = 1.0 if parameter.ndim < 2 and name.endswith("weight") else 0.0
        parameter.data = middle + spread * torch.randn(parameter.shape, generator=draw)
    return model.eval().requires_grad_(False)


class Stored(Weights):
    """Models in memory, as weights; each under the prefix that it is given by."""

    def __init__(self, plain: Any = None, **models: Any) -> None:
        self.origin, self.directory = "memory", None
        self._held = {} if plain is None else dict(plain.state_dict())
        for source, model in models.items():
            self._held |= {f"{source}.{name}": v for name, v in model.state_dict().items()}

    @property
    def sha256(self) -> str:
        """Nobody asks."""
        raise NotImplementedError

    def tensor(self, name: str) -> torch.Tensor:
        """As the model holds it."""
        return self._held[name].clone()


def encoders(recipe: Recipe) -> dict[str, Any]:
    """Whole models, predictor and language head included."""
    config = recipe.text.config
    video = tribe_configs.video_config(config.video)
    video.pred_num_hidden_layers, video.pred_hidden_size = 1, 48
    return {
        "video": awake(VJEPA2Model(video), 0),
        "audio": awake(Wav2Vec2BertModel(tribe_configs.audio_config(config.audio)), 1),
        "text": awake(LlamaForCausalLM(tribe_configs.text_config(config.text)), 2),
    }


def fused(recipe: Recipe) -> dict[str, torch.Tensor]:
    """Seeded numbers for the fusion, by its own names."""
    drawn = open_weights("random:7", recipe)
    names = [name for name in recipe.adaptor.tensors() if name.startswith("fusion.")]
    return {name.partition(".")[2]: drawn.tensor(name) for name in names}


def tribe_folders(recipe: Recipe, directory: Path) -> Path:
    """video/, audio/ and text/ as `save_pretrained` leaves them, and TRIBE v2's fusion/."""
    for name, model in encoders(recipe).items():
        model.save_pretrained(directory / name)
    tokenizer = train_tokenizer(recipe.adaptor.special_tokens)
    tokenizer.save(str(directory / "text" / "tokenizer.json"))
    if recipe.text.config.low_rank is not None:
        (directory / "fusion").mkdir()
        # As in TRIBE v2's state_dict: what predicts brains, and x-transformers' own buffer.
        more = {
            "predictor.weights": torch.ones(2, 3),
            "encoder.rotary_pos_emb.inv_freq": torch.ones(4),
        }
        save_file({**fused(recipe), **more}, directory / "fusion" / "model.safetensors")
    return directory
