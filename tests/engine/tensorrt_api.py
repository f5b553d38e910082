"""The TensorRT symbols that 10.3, 10.16 and 11.4 all have, of those we may use.

Each was looked for among the strings of `tensorrt.so` in the wheels tensorrt_cu12_bindings 10.3.0,
tensorrt_cu12_bindings 10.16.1.11 and tensorrt_cu13_bindings 11.4.0.106, and is in all three.
"""

from __future__ import annotations

COMMON: dict[str, set[str]] = {
    "module": {
        "Builder",
        "BuilderFlag",
        "DataType",
        "ILogger",
        "MemoryPoolType",
        "NetworkDefinitionCreationFlag",
        "OnnxParser",
        "Runtime",
        "TensorIOMode",
    },
    "ILogger": {"ERROR", "INFO", "INTERNAL_ERROR", "Severity", "VERBOSE", "WARNING", "log"},
    "Builder": {"build_serialized_network", "create_builder_config", "create_network"},
    "BuilderFlag": {"TF32", "DISABLE_TIMING_CACHE", "DEBUG", "SPARSE_WEIGHTS"},
    "DataType": {"BF16", "BOOL", "FLOAT", "HALF", "INT32", "INT64", "INT8", "UINT8"},
    "IBuilderConfig": {
        "builder_optimization_level",
        "clear_flag",
        "create_timing_cache",
        "get_timing_cache",
        "set_flag",
        "set_memory_pool_limit",
        "set_timing_cache",
    },
    "INetworkDefinition": {"get_input", "get_output", "num_inputs", "num_outputs"},
    "ITensor": {"dtype", "name", "shape"},
    "ITimingCache": {"serialize"},
    "MemoryPoolType": {"WORKSPACE"},
    "NetworkDefinitionCreationFlag": {"STRONGLY_TYPED"},
    "OnnxParser": {"get_error", "num_errors", "parse", "parse_from_file"},
    "ParserError": {"code", "desc", "file", "func", "line", "node", "node_name", "node_operator"},
    "Runtime": {"deserialize_cuda_engine"},
    "ICudaEngine": {
        "create_execution_context",
        "device_memory_size_v2",
        "get_tensor_dtype",
        "get_tensor_mode",
        "get_tensor_name",
        "get_tensor_shape",
        "num_io_tensors",
    },
    "IExecutionContext": {
        "execute_async_v3",
        "set_input_shape",
        "set_optimization_profile_async",
        "set_tensor_address",
    },
    "TensorIOMode": {"INPUT", "OUTPUT"},
}

ALL = set().union(*COMMON.values()) | {"__version__", "__init__"}
