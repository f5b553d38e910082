"""The action head that a configuration describes."""

from __future__ import annotations

from torch import Tensor, nn

from neon_edge.checkpoint.config import HeadType, NeonConfig
from neon_edge.checkpoint.networks.dit import DitHead
from neon_edge.checkpoint.networks.ensemble import EnsembleHead
from neon_edge.checkpoint.networks.fast import FastHead
from neon_edge.checkpoint.networks.flow import FlowHead
from neon_edge.checkpoint.networks.jepa import JepaHead
from neon_edge.checkpoint.networks.mlp import ChunkingHead, MlpDecoder, SeparateHeads, SingleHead
from neon_edge.engine.action_tokens import ActionTokens

DRAWS: dict[HeadType, int] = {
    "mlp": 0,
    "flow": 1,
    "dit": 1,
    "ensemble": 2,
    "fast": 0,
    "jepa": 0,
}
"""Chunks of standard normal noise that each head type starts from."""


class RelativeHead(nn.Module):
    """Upstream's `StateRelativeHead`: its inner head's chunk is a difference from where we are."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner_head = inner

    def forward(self, features: Tensor, *sampled: Tensor) -> Tensor:
        """The difference, (batch, steps, columns), in half ranges."""
        difference: Tensor = self.inner_head(features, *sampled)
        return difference


def action_head(
    config: NeonConfig,
    columns: int,
    separate: dict[str, int],
    tokens: ActionTokens | None = None,
) -> nn.Module:
    """Build it with the widths of `config`; `separate` gives each separate head's outputs.

    `tokens` is what a `fast` head writes in.
    """
    match config.action_head_type:
        case "mlp" if config.use_separate_heads:
            decoders = {
                name: _separate_decoder(config, name, outputs) for name, outputs in separate.items()
            }
            return SeparateHeads(decoders)
        case "mlp":
            return SingleHead(_decoder(config, columns))
        case "flow":
            return _flow(config, columns, config.flow_use_cross_attention)
        case "dit":
            return _dit(config, columns, config.dit_num_denoise_steps)
        case "ensemble":
            # Upstream gives the dit inside an ensemble the flow's number of steps.
            return EnsembleHead(
                config.pooled_width,
                _chunking(config, columns, config.mlp_hidden),
                _flow(config, columns, cross=False),
                _dit(config, columns, config.flow_num_denoise_steps),
            )
    return _of_ours(config, columns, tokens)


def _of_ours(config: NeonConfig, columns: int, tokens: ActionTokens | None) -> nn.Module:
    width, fast, jepa = config.pooled_width, config.neon_edge_fast, config.neon_edge_jepa
    if fast is not None and tokens is not None:
        return FastHead(width, tokens, fast.hidden, fast.layers, fast.budget)
    assert jepa is not None
    return JepaHead(width, columns, config.num_action_steps, jepa.embedding, jepa.hidden)


def _decoder(config: NeonConfig, outputs: int) -> ChunkingHead | MlpDecoder:
    if config.use_action_chunking:
        return _chunking(config, outputs, config.mlp_hidden)
    return MlpDecoder(config.pooled_width, outputs, config.mlp_hidden, config.action_head_layers)


def _separate_decoder(config: NeonConfig, name: str, outputs: int) -> ChunkingHead | MlpDecoder:
    if name in ("arms", "legs"):
        return _decoder(config, outputs)
    hidden = config.mlp_hidden // 2
    if config.use_action_chunking:
        return _chunking(config, outputs, hidden)
    return MlpDecoder(config.pooled_width, outputs, hidden, layers=2)


def _chunking(config: NeonConfig, outputs: int, hidden: int) -> ChunkingHead:
    return ChunkingHead(config.pooled_width, outputs, config.num_action_steps, hidden)


def _flow(config: NeonConfig, columns: int, cross: bool) -> FlowHead:
    return FlowHead(
        config.pooled_width,
        columns,
        config.num_action_steps,
        config.flow_hidden_dim,
        config.flow_num_layers,
        config.flow_num_denoise_steps,
        (config.flow_cross_attention_dim or config.pooled_width) if cross else None,
    )


def _dit(config: NeonConfig, columns: int, denoise_steps: int) -> DitHead:
    return DitHead(
        config.pooled_width,
        columns,
        config.num_action_steps,
        config.dit_hidden_dim,
        config.dit_num_layers,
        config.dit_num_heads,
        denoise_steps,
    )
