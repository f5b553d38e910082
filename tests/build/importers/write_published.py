"""Write `published.npz`: small layers packed by the code of those who publish such checkpoints.

    python tests/build/importers/write_published.py GPTQMODEL_SDIST COMPRESSED_TENSORS

Both want versions of their own, so their packing functions are taken out of their sources as they
stand and run alone. Written with gptqmodel 7.7.0 and compressed-tensors 0.20.0.
"""

from __future__ import annotations

import ast
import contextlib
import math
import sys
import types
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

OUT = Path(__file__).with_name("published.npz")
INPUTS, OUTPUTS, GROUP = 128, 24, 32


def function(source: Path, name: str, scope: dict[str, Any]) -> Any:
    """The function or method `name` of a file, with `scope` as its globals."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            node.decorator_list = []
            exec(compile(ast.Module([node], []), str(source), "exec"), scope)
            return scope[name]
    raise LookupError(name)


def gptq(pack: Any, codes: Any, zeros: Any, scales: Any, groups_of: Any) -> dict[str, Any]:
    """One layer through `pack_original`, in format v2."""
    weight = ((codes - zeros[groups_of]) * scales[groups_of]).T.contiguous()
    linear = torch.nn.Linear(INPUTS, OUTPUTS, bias=False)
    linear.weight.data = weight
    kept: dict[str, Any] = {}
    layer = types.SimpleNamespace(
        bits=4, maxq=15, pack_dtype_bits=32, pack_factor=8, planar=False, bias=None,
        pack_np_math_dtype=np.uint32, pack_np_dtype=np.int32, g_idx=groups_of,
        register_buffer=lambda name, value: (kept.__setitem__(name, value),
                                             setattr(layer, name, value)),
    )  # fmt: skip
    pack(layer, linear, scales.T.contiguous(), zeros.T.contiguous().float(), groups_of)
    return {name: kept[name].numpy() for name in ("qweight", "qzeros", "scales", "g_idx")}


def main() -> None:
    """Everything from one seed."""
    sdist, tensors = Path(sys.argv[1]) / "gptqmodel", Path(sys.argv[2])
    limits = types.SimpleNamespace(threadpool_limits=lambda _: contextlib.nullcontext())
    scope = {
        "t": torch, "np": np, "nn": torch.nn, "math": math, "THREADPOOLCTL": limits,
        "_ConvNd": torch.nn.modules.conv._ConvNd,
        "transformers": types.SimpleNamespace(
            pytorch_utils=types.SimpleNamespace(Conv1D=type("Conv1D", (), {}))),
    }  # fmt: skip
    pack = function(sdist / "nn_modules/qlinear/__init__.py", "pack_original", scope)
    pack_awq = function(
        sdist / "quantization/awq/utils/packing_utils.py", "pack_awq_columns", {"torch": torch}
    )
    pack_to_int32 = function(
        tensors / "compressed_tensors/compressors/pack_quantized/helpers.py",
        "pack_to_int32",
        {"torch": torch, "math": math, "Literal": Literal},
    )
    chance = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 16, (INPUTS, OUTPUTS), generator=chance)
    zeros = torch.randint(0, 16, (INPUTS // GROUP, OUTPUTS), generator=chance)
    middle = torch.full_like(zeros, 8)
    scales = (torch.rand((INPUTS // GROUP, OUTPUTS), generator=chance) / 16 + 0.01).half().float()
    straight = torch.arange(INPUTS) // GROUP
    mixed = straight[torch.randperm(INPUTS, generator=chance)]
    arrays: dict[str, Any] = {"codes": codes, "zeros": zeros, "scales": scales, "mixed": mixed}
    for name, points, groups_of in (
        ("gptq_sym", middle, straight), ("gptq_sym_act", middle, mixed),
        ("gptq_asym", zeros, straight), ("gptq_asym_act", zeros, mixed),
    ):  # fmt: skip
        layer = gptq(pack, codes, points, scales, groups_of)
        arrays |= {f"{name}.{key}": value for key, value in layer.items()}
        # `convert_gptq_v2_to_v1_format_module`: one subtraction from every word.
        older = torch.from_numpy(layer["qzeros"]) - 0x11111111
        arrays[f"{name}.qzeros_v1"] = older
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    arrays["awq.qweight"] = pack_awq(codes.int(), 4, order)
    arrays["awq.qzeros"] = pack_awq(zeros.int(), 4, order)
    arrays["awq.scales"] = scales.half()
    arrays["packed.weight_packed"] = pack_to_int32((codes - 8).T.contiguous().to(torch.int8), 4)
    arrays["packed.weight_zero_point"] = pack_to_int32(
        (zeros - 8).T.contiguous().to(torch.int8), 4, packed_dim=0
    )
    arrays["packed.weight_scale"] = scales.T.contiguous()
    arrays["packed.weight_shape"] = torch.tensor([OUTPUTS, INPUTS])
    np.savez_compressed(OUT, **{name: np.asarray(value) for name, value in arrays.items()})


if __name__ == "__main__":
    main()
