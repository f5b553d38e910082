"""From a checkpoint to fixed-shape FP32 graphs: pooled features and joint state to radians."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from neon_edge.build.fold import TERM, FoldedHeads, PooledTerm, input_shapes, tick_inputs
from neon_edge.checkpoint import Checkpoint
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import HeadsManifest, Part, TensorSpec
from neon_edge.types import Float32

FILE_NAME = "heads.onnx"
TERM_FILE_NAME = "heads_pooled.onnx"
OPSET = 18
"""Every operator of the heads is older; TensorRT 10.3 parses up to 20."""

Shapes = Mapping[str, tuple[int, ...]]
Runner = Callable[[Mapping[str, Float32]], Float32]
"""Inputs by name -> chunk (1, steps, action_dim)."""


def export_heads(checkpoint: Checkpoint, directory: Path, backbone_hash: str) -> HeadsManifest:
    """Write the heads as two FP32 graphs and describe them.

    `heads_pooled.onnx`, run when the pooled features change: `pooled` (1, width) -> `pooled_term`
    (1, width). `heads.onnx`, run every tick: `pooled_term`, `joints` (1, action_dim) if the heads
    see proprioception, then one input per declared sensor -> `chunk` (1, steps, action_dim) in rad
    and SI velocities.
    """
    directory.mkdir(parents=True, exist_ok=True)
    heads, actions = checkpoint.module, checkpoint.actions
    pooled = {"pooled": (1, heads.pooled_width)}
    term = {TERM: (1, heads.pooled_width)}
    chunk = {"chunk": (1, checkpoint.steps, actions.action_dim)}
    return HeadsManifest(
        checkpoint=str(checkpoint.directory),
        checkpoint_sha256=checkpoint.weights_sha256,
        backbone_id=checkpoint.config.backbone.model_id,
        backbone_hash=backbone_hash,
        head_type=checkpoint.config.action_head_type,
        control_mode=actions.mode,
        joint_names=list(actions.joint_names),
        base_velocity=actions.base_velocity,
        steps=checkpoint.steps,
        sensors=[TensorSpec(s.name, [1, *s.shape]) for s in checkpoint.sensors],
        part=_part(FoldedHeads(heads), directory / FILE_NAME, tick_inputs(heads), chunk),
        pooled_part=_part(PooledTerm(heads), directory / TERM_FILE_NAME, pooled, term),
        random=checkpoint.random,
    )


def _part(module: torch.nn.Module, path: Path, inputs: Shapes, outputs: Shapes) -> Part:
    _export(module.eval(), inputs, outputs, path)
    onnx.checker.check_model(str(path), full_check=True)
    return Part(
        name=path.stem,
        onnx=path.name,
        onnx_sha256=sha256_file(path),
        inputs=[TensorSpec(name, list(shape)) for name, shape in inputs.items()],
        outputs=[TensorSpec(name, list(shape)) for name, shape in outputs.items()],
    )


def _export(module: torch.nn.Module, inputs: Shapes, outputs: Shapes, path: Path) -> None:
    with warnings.catch_warnings(), _quiet("torch.onnx"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            tuple(torch.zeros(shape) for shape in inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    graph = program.model_proto
    # Torch stamps every node with source paths of the machine that exported it.
    for node in graph.graph.node:
        del node.metadata_props[:]
    del graph.graph.value_info[:]
    onnx.save(graph, str(path))


class _quiet:  # noqa: N801
    """The exporter logs what no reader of ours can act on, such as torchvision being absent."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def __enter__(self) -> None:
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level)


def sample_inputs(checkpoint: Checkpoint, samples: int, seed: int) -> list[dict[str, Float32]]:
    """Observations for measuring: joints inside their limits, all else standard normal."""
    chance = np.random.default_rng(seed)
    drawn = {
        "pooled": chance.standard_normal((samples, checkpoint.module.pooled_width), np.float32),
        "joints": checkpoint.sample_joints(samples, chance),
        **checkpoint.sample_sensors(samples, chance),
    }
    names = input_shapes(checkpoint.module)
    return [{name: drawn[name][row : row + 1] for name in names} for row in range(samples)]


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


def _array(tensor: Tensor) -> Float32:
    array: Float32 = tensor.numpy().astype(np.float32, copy=False)
    return array
