"""From file to file, with weights inside and beside the graph."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from neon_edge.build.cpu.form import write_float_form
from neon_edge.engine.files import weights_of
from tests.build.cpu.attending import Attending, Shape, drawn, exported

SHAPE = Shape(tokens=300)


@pytest.mark.parametrize("beside", [False, True], ids=["inside", "beside"])
def test_a_float_graph_is_fused_and_its_weights_are_copied(beside: bool, tmp_path: Path) -> None:
    module = Attending(SHAPE)
    source, target = tmp_path / "one.onnx", tmp_path / "form" / "one.onnx"
    target.parent.mkdir()
    model = exported(module, SHAPE, source)
    if beside:
        location = weights_of(source).name
        onnx.save(model, source, save_as_external_data=True, location=location, size_threshold=64)
        os.link(weights_of(source), tmp_path / "a second name")
    write_float_form(source, target)
    assert weights_of(target).exists() == beside
    if beside:
        assert not weights_of(target).samefile(weights_of(source))
    form = onnx.load(target, load_external_data=False)
    assert {"Softmax", "Neg"}.isdisjoint(node.op_type for node in form.graph.node)
    x = drawn(SHAPE)
    found = onnxruntime.InferenceSession(str(target)).run(None, {"x": x})[0]
    wanted = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-6)
