"""A bundle's graphs in the form whose kernels ONNX Runtime has on a CPU: the same numbers.

    graph ─▶ form (codes) ─▶ norms ─▶ rotary ─▶ attention, causal (by blocks) ─▶ ONNX Runtime

Bundles hold TensorRT's form, which wants the pieces; here each chain of them becomes one operator.
"""
