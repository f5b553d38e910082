"""A float part in the form of CPU kernels, held against the graph that it was made from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from neon_edge.build.cpu.form import write_float_form
from neon_edge.engine.manifest import Part


def same_as_exported(directory: Path, part: Part, target: Path) -> Counter[str]:
    """What operators the form in `target` has; fails where it answers differently."""
    graph = target / part.onnx
    write_float_form(directory / part.onnx, graph)
    chance = np.random.default_rng(0)
    feeds = {s.name: chance.standard_normal(s.shape).astype(s.dtype) for s in part.inputs}
    names = [spec.name for spec in part.outputs]
    exact, found = (
        onnxruntime.InferenceSession(str(path)).run(names, feeds)
        for path in (directory / part.onnx, graph)
    )
    for name, theirs, ours in zip(names, exact, found, strict=True):
        assert np.abs(ours - theirs).max() <= 2e-5 * np.abs(theirs).max(), (part.name, name)
    return Counter(node.op_type for node in onnx.load(graph, load_external_data=False).graph.node)
