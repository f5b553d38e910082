"""The graphs that a checkpoint's heads become, by how often they run.

Slow graphs run when their one input changes: pooled features, tokens, and the sensors whose
encoders cost more than the heads. The tick graph runs every tick. A dit's step graph runs once for
each of its noise predictions, between updates that the host makes in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from neon_edge.build.flow_steps import (
    FlowCondition,
    FlowPullback,
    FlowVelocity,
    modulation_width,
)
from neon_edge.build.fold import decoders_of, linear_of, spell_gelu
from neon_edge.build.fold_dit import MODULATION, DitModulation, DitStep
from neon_edge.build.fold_flow import BIAS, KEYS, VALUES, TokenTerms
from neon_edge.build.head_tick import SLOW_SENSORS, TickHeads, fusion_shares, tail_of
from neon_edge.build.token_steps import FastStep, JepaDecoder
from neon_edge.checkpoint import Checkpoint
from neon_edge.checkpoint.networks.build import RelativeHead
from neon_edge.checkpoint.networks.dit import DitHead
from neon_edge.checkpoint.networks.ensemble import EnsembleHead
from neon_edge.checkpoint.networks.fast import FastHead
from neon_edge.checkpoint.networks.flow import CROSS_HEADS, FlowHead
from neon_edge.checkpoint.networks.heads import NeonHeads
from neon_edge.checkpoint.networks.jepa import JepaHead
from neon_edge.checkpoint.networks.mlp import ChunkingHead, SeparateHeads, SingleHead
from neon_edge.engine.attended import TOKEN_MASK, TOKENS

Shapes = Mapping[str, tuple[int, ...]]


class Graph(NamedTuple):
    """A module whose forward takes `inputs` in order and returns `outputs` in order."""

    name: str
    module: nn.Module
    inputs: Shapes
    outputs: Shapes
    integers: tuple[str, ...] = ()
    """Inputs that are int32; all others, and every output, are float32."""


class HeadGraphs(NamedTuple):
    """All graphs of one checkpoint's heads.

    `step` is what the host runs behind `tick` to make a chunk: a dit's noise prediction, a fast
    head's next token, a jepa's decoder.
    """

    slow: list[Graph]
    tick: Graph
    step: Graph | None
    row: Graph | None
    """As `tick`, for one row of the chunk: the only one that a strategy may look at."""
    guided: list[Graph]
    """A flow's condition, velocity and pull-back, for a host that runs its steps; else none."""


def head_graphs(checkpoint: Checkpoint, tokens: int = 0) -> HeadGraphs:
    """Fold `checkpoint` into graphs. `tokens` > 0 feeds a flow's cross-attention that many."""
    heads = copy.deepcopy(checkpoint.module)
    spell_gelu(heads)
    head = heads.action_head
    if isinstance(head, RelativeHead):
        head = head.inner_head
    chunk = (1, checkpoint.steps, len(checkpoint.columns))
    slow = _slow_graphs(heads)
    if tokens:
        assert isinstance(head, FlowHead)
        slow.append(_token_graph(head, tokens))
    tick = _tick_graph(heads, head, slow, chunk)
    step = _step_graph(head, tick, chunk)
    # Upstream's own heads never see tokens: those that do are not guided.
    guided = _guided_graphs(heads, head, tick) if isinstance(head, FlowHead) and not tokens else []
    return HeadGraphs(slow, tick, step, _row_graph(heads, head, tick), guided)


def _slow_graphs(heads: NeonHeads) -> list[Graph]:
    width = heads.pooled_width
    fusion = heads.fusion[0]
    assert isinstance(fusion, nn.Linear)
    first = linear_of(fusion.weight[:, :width], fusion.bias)
    graphs = [Graph("heads_pooled", first, {"pooled": (1, width)}, {"pooled_term": (1, width)})]
    shares = fusion_shares(heads)
    for sensor in heads.sensors:
        if sensor.name in SLOW_SENSORS:
            term = SensorTerm(heads.encoders[sensor.name], shares[sensor.name])
            shape = {sensor.name: (1, *sensor.shape)}
            out = {f"{sensor.name}_term": (1, width)}
            graphs.append(Graph(f"heads_{sensor.name}", term, shape, out))
    return graphs


class SensorTerm(nn.Module):
    """A sensor's encoder and its share of the fusion layer: reading -> (1, width)."""

    def __init__(self, encoder: nn.Module, share: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.share = linear_of(share, None)

    def forward(self, reading: Tensor) -> Tensor:
        """(1, *shape) -> (1, width)."""
        term: Tensor = self.share(self.encoder(reading))
        return term


def _token_graph(head: FlowHead, tokens: int) -> Graph:
    module = TokenTerms(head)
    part = head.cross_attn.out_proj.in_features // CROSS_HEADS
    return Graph(
        "heads_tokens",
        module,
        {TOKENS: (1, tokens, module.both.in_features), TOKEN_MASK: (1, tokens)},
        {
            KEYS: (CROSS_HEADS, part, tokens),
            VALUES: (CROSS_HEADS, tokens, part),
            BIAS: (1, 1, tokens),
        },
    )


def _tick_graph(
    heads: NeonHeads, head: nn.Module, slow: list[Graph], chunk: tuple[int, ...]
) -> Graph:
    inputs = {name: shape for graph in slow for name, shape in graph.outputs.items()}
    if heads.proprio_encoder is not None or heads.relative:
        inputs["joints"] = (1, chunk[2])
    taken = {name for graph in slow for name in graph.inputs}
    inputs.update({s.name: (1, *s.shape) for s in heads.sensors if s.name not in taken})
    if isinstance(head, FlowHead | EnsembleHead):
        assert heads.noise_shape is not None
        inputs["noise"] = heads.noise_shape
    outputs: dict[str, tuple[int, ...]] = {"chunk": chunk}
    if isinstance(head, DitHead | EnsembleHead):
        dit = head if isinstance(head, DitHead) else head.dit_head
        rows = DitModulation(dit).all.out_features
        outputs = {MODULATION: (dit.denoise_steps, rows), "base": chunk, "gain": chunk}
    tail = tail_of(head, attends=KEYS in inputs)
    if isinstance(head, FastHead):
        state = (1, len(head.cells), head.hidden)
        outputs = {"state": state, "seen": (1, head.hidden), "base": chunk, "gain": chunk}
    if isinstance(head, JepaHead):
        outputs = {"embedding": (1, head.width), "base": chunk, "gain": chunk}
    return Graph("heads", TickHeads(heads, tail, list(inputs)), inputs, outputs)


def _step_graph(head: nn.Module, tick: Graph, chunk: tuple[int, ...]) -> Graph | None:
    match head:
        case FastHead():
            state, made = tick.outputs["state"], {"scores": (1, head.tokens.size + 1)}
            inputs = {"token": (1,), "place": (1,), "seen": tick.outputs["seen"], "state": state}
            outputs = {**made, "next": state}
            return Graph("heads_token", FastStep(head), inputs, outputs, ("token", "place"))
        case JepaHead():
            embedding = {"embedding": tick.outputs["embedding"]}
            return Graph("heads_decoder", JepaDecoder(head), embedding, {"latent": chunk})
        case DitHead() | EnsembleHead():
            dit = head if isinstance(head, DitHead) else head.dit_head
            fed = {"x": chunk, MODULATION: (1, tick.outputs[MODULATION][1])}
            return Graph("heads_step", DitStep(dit), fed, {"predicted": chunk})
        case _:
            return None


def _row_graph(heads: NeonHeads, head: nn.Module, tick: Graph) -> Graph | None:
    """Of heads whose rows are made side by side and not out of one another."""
    if not isinstance(head, SingleHead | SeparateHeads):
        return None
    if not all(isinstance(decoder, ChunkingHead) for decoder in decoders_of(head)):
        return None
    inputs = {**tick.inputs, "row": (1,)}
    chunk = (1, 1, tick.outputs["chunk"][2])
    module = TickHeads(heads, tail_of(head, attends=False), list(inputs))
    return Graph("heads_row", module, inputs, {"chunk": chunk}, ("row",))


def _guided_graphs(heads: NeonHeads, head: FlowHead, tick: Graph) -> list[Graph]:
    inputs = {name: shape for name, shape in tick.inputs.items() if name != "noise"}
    chunk, width = tick.outputs["chunk"], modulation_width(head)
    made = {MODULATION: (head.denoise_steps, width), "base": chunk, "gain": chunk}
    step = {"x": chunk, MODULATION: (1, width)}
    condition = TickHeads(heads, FlowCondition(head), list(inputs))
    return [
        Graph("heads_condition", condition, inputs, made),
        Graph("heads_velocity", FlowVelocity(head), step, {"velocity": chunk}),
        Graph("heads_pullback", FlowPullback(head), {**step, "error": chunk}, {"pulled": chunk}),
    ]
