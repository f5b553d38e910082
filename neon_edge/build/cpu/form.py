"""The same numbers in the form that ONNX Runtime's kernels on a CPU want.

Norms, rotary embeddings and attentions become one operator each, in float plans too. Symmetric
signed activations become unsigned around 128: the same grid, and x86 multiplies unsigned by signed
bytes three times as fast as signed by signed. Groups of 4 or 8 bits become one `MatMulNBits`, which
dequantises while it multiplies.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from neon_edge.build.cpu.attention import fuse_attention
from neon_edge.build.cpu.graph import CONTRIB, Graph, setting
from neon_edge.build.cpu.norms import fuse_norms
from neon_edge.build.cpu.rotary import fuse_rotations
from neon_edge.build.onnx_file import save
from neon_edge.build.quantise.onnx_types import Array
from neon_edge.engine.files import weights_of

_MIDDLE = 128
_READ = ("Add", "Mul", "Pow", "Unsqueeze", "Slice", "Reshape", "ReduceMean")


def write_cpu_form(source: Path, target: Path) -> None:
    """`cpu_form` from file to file; large weights move beside the graph."""
    save(cpu_form(onnx.load(str(source))), target)


def write_float_form(source: Path, target: Path) -> None:
    """The same of a graph in float; weights of products are copied and not read.

    Not linked: onnx refuses weights with a second name, and an interrupt would leave them one.
    """
    model = onnx.load(str(source), load_external_data=False)
    if weights_of(source).exists():
        shutil.copyfile(weights_of(source), weights_of(target))
        _read_constants(model, weights_of(source))
    _fuse(model)
    onnx.save(model, str(target))


def _read_constants(model: ModelProto, weights: Path) -> None:
    """What chains are recognised by: masks, tables and gains, but not the weights of products."""
    wanted = {name for node in model.graph.node if node.op_type in _READ for name in node.input}
    with weights.open("rb") as file:
        for tensor in model.graph.initializer:
            if tensor.name in wanted and uses_external_data(tensor):
                place = ExternalDataInfo(tensor)
                file.seek(place.offset or 0)
                tensor.raw_data = file.read(place.length)
                tensor.ClearField("external_data")
                tensor.data_location = TensorProto.DEFAULT


def cpu_form(model: ModelProto, accuracy_level: int = 1) -> ModelProto:
    """Change `model` from TensorRT's form to the CPU's, and return it.

    `accuracy_level` 4 lets products of blocks round their activations to 8 bits too, in blocks of
    their own (`com.microsoft` MatMulNBits).
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    _unsigned(model, stored)
    _blocks(model, stored, accuracy_level)
    _fuse(model)
    return model


def _fuse(model: ModelProto) -> None:
    if all(entry.domain != CONTRIB for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    fuse_norms(model)
    fuse_rotations(model)
    fuse_attention(model)
    used = {name for node in model.graph.node for name in node.input}
    used |= {value.name for value in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _unsigned(model: ModelProto, stored: dict[str, TensorProto]) -> None:
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear" or node.input[0] in stored:
            continue
        zero = stored.get(node.input[2])
        if zero is not None and zero.data_type == TensorProto.INT8:
            middle = np.asarray(_MIDDLE, np.uint8)
            zero.CopyFrom(numpy_helper.from_array(middle, zero.name))


def _blocks(model: ModelProto, stored: dict[str, TensorProto], accuracy_level: int) -> None:
    graph = Graph(model)
    fused: dict[str, list[NodeProto]] = {}
    for node in graph.nodes:
        source = graph.by(node.input[1], "DequantizeLinear") if node.op_type == "MatMul" else None
        block = setting(source, "block_size") if source is not None else None
        if source is not None and block:
            made = _block_product(graph, stored, node, source, block, accuracy_level)
            fused[node.output[0]] = [made]
    graph.replace(fused)


def _block_product(
    graph: Graph,
    stored: dict[str, TensorProto],
    node: NodeProto,
    source: NodeProto,
    block: int,
    accuracy_level: int,
) -> NodeProto:
    codes, scales = stored[source.input[0]], stored[source.input[1]]
    bits = 4 if codes.data_type == TensorProto.INT4 else 8
    values = np.asarray(numpy_helper.to_array(codes)).astype(np.int16)
    packed = graph.store(f"{codes.name}.blocks", _packed(values, block, bits))
    step = np.ascontiguousarray(numpy_helper.to_array(scales).T)
    steps = graph.store(f"{scales.name}.blocks", step.reshape(-1))
    inputs, outputs = values.shape
    return helper.make_node(
        "MatMulNBits",
        [node.input[0], packed, steps],
        [node.output[0]],
        node.name,
        domain=CONTRIB,
        K=inputs,
        N=outputs,
        bits=bits,
        block_size=block,
        accuracy_level=accuracy_level,
    )


def _packed(codes: Array, block: int, bits: int) -> Array:
    """(inputs, outputs) signed → (outputs, groups, bytes) unsigned around the middle."""
    unsigned = (codes + (1 << bits - 1)).astype(np.uint8).T
    grouped = np.ascontiguousarray(unsigned).reshape(codes.shape[1], -1, block)
    if bits == 8:
        return grouped
    packed: Array = grouped[..., 0::2] | grouped[..., 1::2] << 4
    return packed
