"""From a checkpoint to fixed-shape FP32 graphs: pooled features and joint state to radians."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from torch import Tensor

from neon_edge.build.head_graphs import Graph, head_graphs
from neon_edge.checkpoint import Checkpoint
from neon_edge.checkpoint.load import ACTION_TOKENIZER
from neon_edge.checkpoint.networks.build import RelativeHead
from neon_edge.checkpoint.networks.dit import DitHead
from neon_edge.checkpoint.networks.ensemble import EnsembleHead
from neon_edge.engine.action_tokens import TOKENIZER
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import FastManifest, HeadsManifest, Part, TensorSpec
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32

OPSET = 18
"""Every operator of the heads is older; TensorRT 10.3 parses up to 20."""
UNATTENDED = (
    "NOTE: this flow can attend to the backbone's tokens, and upstream's training and inference "
    "never hand it any: it is built as it was trained, without them (cut.tokens = true hands them)"
)
ATTENDED = (
    "NOTE: this flow attends to the backbone's tokens, as cut.tokens = true asks: right for a head "
    "whose training handed it tokens, which neon-vla 0.1.5's own never does"
)
FAST_TOKENIZER = "action_tokenizer.json"


class Undenoised(NamedTuple):
    """Noise predictions and the chunk without denoising, see `torch_undenoised`."""

    predicted: Float32
    chunk: Float32


Runner = Callable[[Mapping[str, Float32]], Float32]
"""Inputs by name -> chunk (1, steps, action_dim)."""


def export_heads(
    checkpoint: Checkpoint, directory: Path, backbone_hash: str, tokens: int = 0
) -> HeadsManifest:
    """Write the heads as FP32 graphs, by how often they run, and describe them.

    Together they take `pooled` (1, width); `joints` (1, action_dim) if the heads see them; every
    declared sensor; `noise` if they sample; `tokens` (1, n, token width) and `token_mask` (1, n) if
    asked for, which only a flow with cross-attention can use. They make `chunk` (1, steps,
    action_dim) in rad and SI velocities. `engine.plan.open_heads_engine` runs them as one.
    """
    _check_tokens(checkpoint, tokens)
    directory.mkdir(parents=True, exist_ok=True)
    graphs = head_graphs(checkpoint, tokens)
    actions, noise = checkpoint.actions, checkpoint.module.noise_shape
    return HeadsManifest(
        checkpoint=str(checkpoint.directory),
        checkpoint_sha256=checkpoint.weights_sha256,
        backbone_id=checkpoint.config.model_id,
        backbone_hash=backbone_hash,
        head_type=checkpoint.config.action_head_type,
        control_mode=actions.mode,
        joint_names=list(actions.joint_names),
        base_velocity=actions.base_velocity,
        steps=checkpoint.steps,
        sensors=[TensorSpec(s.name, [1, *s.shape]) for s in checkpoint.sensors],
        part=_part(graphs.tick, directory),
        slow_parts=[_part(graph, directory) for graph in graphs.slow],
        step_part=None if graphs.step is None else _part(graphs.step, directory),
        row_part=None if graphs.row is None else _part(graphs.row, directory),
        guided_parts=[_part(graph, directory) for graph in graphs.guided],
        noise=None if noise is None else TensorSpec("noise", list(noise)),
        random=checkpoint.random,
        grippers=[joint.name for joint in actions.joints if joint.group == "aerial_gripper"],
        prefix_rows=actions.neon_edge_prefix_rows,
        fast=_fast(checkpoint, directory),
    )


def _fast(checkpoint: Checkpoint, directory: Path) -> FastManifest | None:
    tokens, shape = checkpoint.tokens, checkpoint.config.neon_edge_fast
    if tokens is None or shape is None:
        return None
    source = checkpoint.directory / ACTION_TOKENIZER / TOKENIZER
    shutil.copyfile(source, directory / FAST_TOKENIZER)
    return FastManifest(
        tokenizer=FAST_TOKENIZER,
        tokenizer_sha256=sha256_file(source),
        scale=tokens.scale,
        min_token=tokens.min_token,
        budget=shape.budget,
    )


def can_attend(checkpoint: Checkpoint) -> bool:
    """Whether its head is a flow with cross-attention."""
    config = checkpoint.config
    return config.action_head_type == "flow" and config.flow_use_cross_attention


def _check_tokens(checkpoint: Checkpoint, tokens: int) -> None:
    config = checkpoint.config
    if tokens and not can_attend(checkpoint):
        raise ConfigWrong(
            "these heads cannot use the backbone's tokens",
            f"action head {config.action_head_type!r}, flow_use_cross_attention = "
            f"{str(config.flow_use_cross_attention).lower()}",
            "build without tokens, or train a flow head with cross-attention",
        )


def _part(graph: Graph, directory: Path) -> Part:
    path = directory / f"{graph.name}.onnx"
    zeros = [
        torch.zeros(shape, dtype=torch.int32 if name in graph.integers else torch.float32)
        for name, shape in graph.inputs.items()
    ]
    _export(graph, tuple(zeros), path)
    onnx.checker.check_model(str(path), full_check=True)
    return Part(
        name=graph.name,
        onnx=path.name,
        onnx_sha256=sha256_file(path),
        inputs=[
            TensorSpec(name, list(shape), "int32" if name in graph.integers else "float32")
            for name, shape in graph.inputs.items()
        ],
        outputs=[TensorSpec(name, list(shape)) for name, shape in graph.outputs.items()],
    )


def _export(graph: Graph, zeros: tuple[Tensor, ...], path: Path) -> None:
    with warnings.catch_warnings(), _quiet("torch.onnx", "onnx_ir"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.module.eval(),
            zeros,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    # Torch stamps every node with source paths of the machine that exported it.
    for node in model.graph.node:
        del node.metadata_props[:]
    del model.graph.value_info[:]
    onnx.save(model, str(path))


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """The exporter logs what no reader of ours can act on, such as torchvision being absent."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def sample_inputs(checkpoint: Checkpoint, samples: int, seed: int) -> list[dict[str, Float32]]:
    """Observations for measuring: joints inside their limits, all else standard normal."""
    chance = np.random.default_rng(seed)
    heads = checkpoint.module
    drawn = {"pooled": chance.standard_normal((samples, heads.pooled_width), np.float32)}
    if heads.proprio_encoder is not None or heads.relative:
        drawn["joints"] = checkpoint.sample_joints(samples, chance)
    drawn.update(checkpoint.sample_sensors(samples, chance))
    return [{name: rows[at : at + 1] for name, rows in drawn.items()} for at in range(samples)]


def heads_error(checkpoint: Checkpoint, run: Runner, samples: int, seed: int) -> Float32:
    """Largest difference between the torch networks and `run`, per column of the chunk.

    (action_dim,): rad, m/s or rad/s, in the order of `checkpoint.columns`. NaN if `run` made one.
    """
    worst = np.zeros(len(checkpoint.columns), dtype=np.float32)
    for inputs in sample_inputs(checkpoint, samples, seed):
        difference = np.abs(run(inputs) - torch_chunk(checkpoint, inputs))
        worst = np.maximum(worst, difference.reshape(-1, len(worst)).max(axis=0))
    return worst


def torch_chunk(checkpoint: Checkpoint, inputs: Mapping[str, Float32]) -> Float32:
    """What the checkpoint's own networks make of `inputs`: (1, steps, action_dim)."""
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    joints = tensors.pop("joints", torch.empty(0))
    with torch.inference_mode():
        return _array(checkpoint.module(tensors.pop("pooled"), joints, **tensors))


def torch_undenoised(checkpoint: Checkpoint, inputs: Mapping[str, Float32]) -> Undenoised | None:
    """What a head with a diffusion part makes of its noise without sampling; None without one.

    As `DenoisingEngine.undenoised`: (denoise steps, steps, action_dim) and (1, steps, action_dim).
    """
    head = checkpoint.module.action_head
    if isinstance(head, RelativeHead):
        head = head.inner_head
    dit = head.dit_head if isinstance(head, EnsembleHead) else head
    if not isinstance(dit, DitHead):
        return None
    predicted: list[Float32] = []

    def forced(features: Tensor, noise: Tensor) -> Tensor:
        made = [dit.predicted_noise(noise[:, 0], time, features) for time in dit.times[:-1]]
        predicted.extend(_array(row[0]) for row in made)
        return torch.tanh(noise[:, 0])

    dit.forward = forced  # type: ignore[method-assign]
    try:
        chunk = torch_chunk(checkpoint, inputs)
    finally:
        del dit.forward
    return Undenoised(np.stack(predicted), chunk)


def _array(tensor: Tensor) -> Float32:
    array: Float32 = tensor.numpy().astype(np.float32, copy=False)
    return array
