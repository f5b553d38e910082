"""Quantised checkpoints that others published, read as they are: nothing is quantised again.

    GPTQ · AWQ · compressed-tensors · ModelOpt  ──▶  QuantisedLinear  ──▶  ONNX Q/DQ

A layout that is not known exactly is refused by its name.
"""

from neon_edge.build.importers.checkpoint import QuantisedCheckpoint, is_quantised
from neon_edge.build.importers.linear import QuantisedLinear, dequantised
from neon_edge.build.importers.read import Layout, layout_of, read_linear

__all__ = [
    "Layout",
    "QuantisedCheckpoint",
    "QuantisedLinear",
    "dequantised",
    "is_quantised",
    "layout_of",
    "read_linear",
]
