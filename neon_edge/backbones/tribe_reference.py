"""TRIBE through transformers' ordinary encoders and torch's own transformer.

Nothing of our graphs is used: transformers' processors for pictures and sound, its own attention,
no padding, no fixed places; the fusion as upstream's `TribeMultimodalBackbone` runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.llama import modeling_llama
from transformers.models.seamless_m4t.feature_extraction_seamless_m4t import (
    SeamlessM4TFeatureExtractor,
)
from transformers.models.vjepa2 import modeling_vjepa2
from transformers.models.wav2vec2_bert import modeling_wav2vec2_bert

from neon_edge.backbones.contract import TensorSource
from neon_edge.backbones.streamed import stream
from neon_edge.backbones.tribe import MODALITIES, TribeConfig
from neon_edge.backbones.tribe_clip import clip_pixels
from neon_edge.backbones.tribe_configs import audio_config, text_config, video_config
from neon_edge.backbones.tribe_fusion import FusionPart, upstream_name
from neon_edge.backbones.tribe_steps_reference import steps_pooled
from neon_edge.types import Float32, UInt8

RATE_HZ = 16000


class TribeReference:
    """The family's `Reference`, streamed: see `streamed.py` for what that proves."""

    def __init__(self, config: TribeConfig, source: TensorSource) -> None:
        self._config = config
        self._kept = config.kept()
        self._source = source
        self._made: dict[str, nn.Module] = {}
        self._told: dict[tuple[int, ...], Tensor] = {}

    def pooled(
        self, pictures: Sequence[UInt8], token_ids: Sequence[int], sound: Float32 | None = None
    ) -> Float32:
        """Pooled features (width,); silence without `sound` is upstream's missing modality."""
        with torch.no_grad():
            if self._config.low_rank is None:
                made = self._fused(self.features(pictures, token_ids, sound))
            else:
                states = self._states(pictures, token_ids, sound)
                made = steps_pooled(self._config, self._config.low_rank, states, self._source)
        pooled: Float32 = made[0].numpy()
        return pooled

    def _states(
        self, pictures: Sequence[UInt8], token_ids: Sequence[int], sound: Float32 | None
    ) -> dict[str, list[Tensor]]:
        """Every hidden state of every encoder, as transformers hands them out; none of silence."""
        video = self._encoder("video", self._video)
        pixels = torch.from_numpy(clip_pixels(pictures, self._config.video.crop_size))[None]
        seen = [video.embeddings(pixels)]
        for layer in video.layer:
            seen.append(layer(seen[-1], None)[0])
        found = {"video": seen}
        asked = {"output_hidden_states": True}
        if sound is not None:
            rows = SeamlessM4TFeatureExtractor()(sound, sampling_rate=RATE_HZ, return_tensors="pt")
            heard = self._encoder("audio", self._audio)(rows["input_features"], **asked)
            found["audio"] = list(heard.hidden_states)
        ids = torch.tensor([list(token_ids)])
        read = self._encoder("text", self._text)(ids, use_cache=False, **asked)
        found["text"] = list(read.hidden_states)
        return found

    def features(
        self,
        pictures: Sequence[UInt8] | None,
        token_ids: Sequence[int],
        sound: Float32 | None = None,
    ) -> dict[str, Tensor]:
        """Tokens (1, n, width) of each modality that is kept, as its own library makes them."""
        found = {}
        with torch.no_grad():
            for name in MODALITIES:
                if not self._kept[name]:
                    continue
                if name == "video":
                    made = self._seen(pictures)
                elif name == "audio":
                    made = self._heard(sound)
                else:
                    made = self._read(tuple(token_ids))
                found[name] = made[:, [at for at in self._kept[name] if at < made.shape[1]]]
        return found

    def _seen(self, pictures: Sequence[UInt8] | None) -> Tensor:
        video = self._config.video
        if pictures is None:
            return torch.zeros(1, video.tokens, video.hidden_size)
        pixels = torch.from_numpy(clip_pixels(pictures, video.crop_size))
        encoder = self._encoder("video", self._video)
        seen: Tensor = encoder(pixel_values_videos=pixels[None]).last_hidden_state
        return seen

    def _heard(self, sound: Float32 | None) -> Tensor:
        audio = self._config.audio
        if sound is None:
            return torch.zeros(1, audio.tokens, audio.hidden_size)
        rows = SeamlessM4TFeatureExtractor()(sound, sampling_rate=RATE_HZ, return_tensors="pt")
        model = self._encoder("audio", self._audio)
        heard: Tensor = model(rows["input_features"]).last_hidden_state
        return heard

    def _read(self, token_ids: tuple[int, ...]) -> Tensor:
        # Words stand still while pictures and sound go on: read once.
        if token_ids not in self._told:
            model = self._encoder("text", self._text)
            read = model(
                torch.tensor([list(token_ids)]), output_hidden_states=True, use_cache=False
            )
            self._told = {token_ids: read.hidden_states[-1]}
        return self._told[token_ids]

    def _encoder(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._made:
            self._made[name] = make().eval()
        return self._made[name]

    def _video(self) -> Any:
        with torch.device("meta"):
            encoder = modeling_vjepa2.VJEPA2Encoder(video_config(self._config.video))
        return self._streamed(encoder, "video.encoder.")

    def _audio(self) -> Any:
        with torch.device("meta"):
            model = modeling_wav2vec2_bert.Wav2Vec2BertModel(audio_config(self._config.audio))
        # Only training masks; the model asks for the parameter, never for its numbers.
        if getattr(model, "masked_spec_embed", None) is not None:
            model.masked_spec_embed = nn.Parameter(torch.zeros(self._config.audio.hidden_size))
        self._streamed(model.encoder, "audio.encoder.")
        self._streamed(model.feature_projection, "audio.feature_projection.")
        return model

    def _text(self) -> Any:
        config = text_config(self._config.text)
        with torch.device("meta"):
            model = modeling_llama.LlamaModel(config)
        self._streamed(model, "text.model.")
        # The meta device computed nothing.
        model.rotary_emb = modeling_llama.LlamaRotaryEmbedding(config)
        return model

    def _streamed(self, module: nn.Module, prefix: str) -> nn.Module:
        streamed: nn.Module = stream(module, lambda name: self._source.tensor(prefix + name))
        return streamed

    def _upstreams(self) -> Any:
        with torch.device("meta"):
            part = FusionPart(self._config)
        state = {
            name: self._source.tensor("fusion." + upstream_name(name))
            for name, _ in part.named_parameters()
        }
        part.load_state_dict(state, strict=False, assign=True)
        return part.requires_grad_(False)

    def _fused(self, features: dict[str, Tensor]) -> Tensor:
        """Upstream's order: project, cut, name, place, attend, norm, mean over all tokens."""
        part = self._encoder("fusion", self._upstreams)
        pieces = []
        for name, tokens in features.items():
            net: Any = part.projectors[name]
            kind = part.fusion_modality.weight[MODALITIES.index(name)]
            pieces.append(nn.functional.gelu(net["net"](tokens)) + kind)
        hidden = torch.cat(pieces, dim=1)
        hidden = hidden + part.fusion["time_pos_embed"][:, : hidden.shape[1]]
        return part.fusion_norm(part.fusion_encoder(hidden)).mean(dim=1)  # type: ignore[no-any-return]
