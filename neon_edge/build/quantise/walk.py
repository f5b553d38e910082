"""A graph walked in stages, one a Linear's input, with bounded memory.

    inputs ─ stage 0 ─▶ x of layers.0.q,k,v ─ stage 1 ─▶ x of layers.0.o ─ … ─▶ outputs

All samples pass one stage before any passes the next, so that whoever looks at an input may
replace the matrices it meets, and later stages see the activations of the quantised network.
Only the tensors that later stages still need are kept, in memory up to a limit (`activations`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from neon_edge.build.quantise.activations import IN_MEMORY_BYTES, Activations, Tokens
from neon_edge.build.quantise.linears import Linear, find_linears
from neon_edge.build.quantise.onnx_types import Array
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32

_ERRORS_ONLY = 3


@dataclass(frozen=True)
class Stop:
    """One tensor that Linears multiply, and its values on every sample: (n, inputs) each.

    `samples` are made as they are asked for, and good until the next stop.
    """

    number: int
    total: int
    linears: list[Linear]
    samples: Sequence[Float32]


@dataclass
class _Stage:
    nodes: list[NodeProto] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    """From samples and earlier stages."""
    made: list[str] = field(default_factory=list)
    """Of its own, for its stop and for later stages."""
    needed: set[str] = field(default_factory=set)
    """Behind it, whoever made it."""


class Walk:
    """One pass of `samples` (inputs by name) through `model`; `replace` changes what is ahead.

    What is above `in_memory` bytes between two stages waits in `directory`, or where temporary
    files are.
    """

    def __init__(
        self,
        model: ModelProto,
        samples: Sequence[Mapping[str, Float32]],
        threads: int = 1,
        directory: Path | None = None,
        in_memory: int = IN_MEMORY_BYTES,
    ) -> None:
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self._types = {
            value.name: value
            for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)
        }
        self._model = model
        self._threads = threads
        self._live = Activations(samples, directory, in_memory)
        self._replaced: dict[str, TensorProto] = {}
        self._readers: Counter[str] = Counter()
        self._by_source: dict[str, list[Linear]] = {}
        for linear in find_linears(model):
            self._by_source.setdefault(linear.source, []).append(linear)
        self._outputs = [value.name for value in model.graph.output]

    @property
    def stored(self) -> Mapping[str, TensorProto]:
        """Initialisers by name."""
        return self._stored

    def stops(self) -> Iterator[Stop]:
        """Every input of a Linear, in the order of the graph."""
        sources = list(self._by_source)
        stages = _stages(self._model, sources, self._outputs, set(self._stored))
        self._readers = Counter(
            name for stage in stages for name in {n for node in stage.nodes for n in node.input}
        )
        for number, (source, stage) in enumerate(zip(sources, stages, strict=False)):
            self._run(stage)
            linears = self._by_source[source]
            tokens = Tokens(self._live, source, linears[0].inputs)
            yield Stop(number, len(sources), linears, tokens)
        self._run(stages[-1])

    def replace(self, linear: Linear, matrix: Float32) -> None:
        """From here on `linear` multiplies by `matrix` (inputs, outputs)."""
        dtype = helper.tensor_dtype_to_np_dtype(linear.dtype)
        stored = np.ascontiguousarray((matrix.T if linear.transposed else matrix).astype(dtype))
        self._replaced[linear.weight] = numpy_helper.from_array(stored, linear.weight)

    def results(self) -> list[dict[str, Array]]:
        """The graph's outputs for every sample, once `stops` is at its end."""
        samples = range(self._live.count)
        return [{name: self._live.get(n, name) for name in self._outputs} for n in samples]

    def _run(self, stage: _Stage) -> None:
        if stage.nodes:
            session = _session(self._graph(stage), self._threads)
            for number in range(self._live.count):
                fed = {name: self._live.get(number, name) for name in stage.read}
                for name, array in zip(stage.made, session.run(stage.made, fed), strict=True):
                    self._live.put(number, name, array)
        self._live.keep_only(stage.needed)

    def _graph(self, stage: _Stage) -> bytes:
        names = {name for node in stage.nodes for name in node.input}
        weights = [self._weight(name) for name in sorted(names & set(self._stored))]
        graph = helper.make_graph(
            stage.nodes,
            "stage",
            [self._value(name) for name in stage.read],
            [self._value(name) for name in stage.made],
            weights,
        )
        model = helper.make_model(graph, opset_imports=self._model.opset_import)
        model.ir_version = self._model.ir_version
        return bytes(model.SerializeToString())

    def _weight(self, name: str) -> TensorProto:
        """As stored or replaced; a replaced one goes with the last stage that reads it."""
        self._readers[name] -= 1
        take = self._replaced.get if self._readers[name] else self._replaced.pop
        return take(name, None) or self._stored[name]

    def _value(self, name: str) -> ValueInfoProto:
        if name not in self._types:
            raise ConfigWrong(
                f"tensor {name!r} has no type in the graph",
                "the graph was saved without its value_info",
                "export it again",
            )
        return self._types[name]


def _stages(
    model: ModelProto, sources: list[str], outputs: list[str], stored: set[str]
) -> list[_Stage]:
    """Nodes by the first stop that needs them; what no stop needs makes the outputs."""
    made = {name: node for node in model.graph.node for name in node.output}
    place: dict[int, int] = {}
    for number, source in enumerate(sources):
        _claim(made, source, number, place)
    stages = [_Stage() for _ in range(len(sources) + 1)]
    for node in model.graph.node:
        stages[place.get(id(made[node.output[0]]), len(sources))].nodes.append(node)
    live = set(outputs)
    for number in range(len(sources), -1, -1):
        stage = stages[number]
        if number < len(sources):
            live.add(sources[number])
        produced = {name for node in stage.nodes for name in node.output}
        read = {name for node in stage.nodes for name in node.input if name} - stored - produced
        stage.needed = set(live)
        stage.made = sorted(live & produced)
        stage.read = sorted(read)
        live = (live - produced) | read
    return stages


def _claim(made: Mapping[str, NodeProto], name: str, number: int, place: dict[int, int]) -> None:
    waiting = [name]
    while waiting:
        node = made.get(waiting.pop())
        if node is None or id(node) in place:
            continue
        place[id(node)] = number
        waiting.extend(node.input)


def _session(graph: bytes, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
