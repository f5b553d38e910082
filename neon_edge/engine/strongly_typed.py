"""ONNX in, plan out, through TensorRT's builder: types come from the graph and nothing else.

`tensorrt` and `tensorrt_rtx_bindings` have the same builder, so the module is an argument. Only
symbols that TensorRT 10.3, 10.16 and 11.4 all have are used here (JetPack 6, JetPack 7.2, PC).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neon_edge.errors import ConfigWrong, PlanUnfit

_SHOWN = 8


class Network:
    """A parsed graph and the builder that owns it. Keep it until the plan is serialised."""

    def __init__(self, module: Any, onnx: Path) -> None:
        self._module = module
        self.onnx = onnx
        self.logger = open_logger(module)
        self.builder = module.Builder(self.logger)
        if self.builder is None:
            raise ConfigWrong(
                "TensorRT's builder cannot start", self.logger.said(), "check its installation"
            )
        flag = 1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        self.definition = self.builder.create_network(flag)
        self._parser = module.OnnxParser(self.definition, self.logger)
        # By path and not by bytes: weights beside the graph are found relative to it.
        if not self._parser.parse_from_file(str(onnx)):
            raise ConfigWrong(
                f"TensorRT cannot read {onnx.name}",
                self._refusals() or self.logger.said(),
                "rewrite the nodes it names in the export",
            )
        self._check_shapes()

    def serialise(self, config: Any) -> bytes:
        """Compile. Minutes for a backbone, and three to four times its weights in memory."""
        plan = self.builder.build_serialized_network(self.definition, config)
        if plan is None:
            raise PlanUnfit(
                f"TensorRT cannot compile {self.onnx.name}",
                self.logger.said() or "it gave no reason",
                "see the first line; a graph that is too large can be split into parts",
            )
        return bytes(plan)

    def _refusals(self) -> str:
        errors = [self._parser.get_error(i) for i in range(self._parser.num_errors)]
        lines = [
            f"{error.node_operator()} node {error.node_name()!r}: {_one_line(error.desc())}"
            for error in errors
        ]
        return _shortened(lines)

    def _check_shapes(self) -> None:
        for i in range(self.definition.num_inputs):
            tensor = self.definition.get_input(i)
            if any(size < 0 for size in tensor.shape):
                raise ConfigWrong(
                    f"{self.onnx.name}: input {tensor.name!r} has no fixed shape",
                    f"shape {tuple(tensor.shape)}",
                    "export the graph with fixed shapes",
                )


def open_logger(module: Any) -> Any:
    """A TensorRT logger that prints nothing and remembers what went wrong.

    A class made here, because its base belongs to a library that most machines do not have.
    """

    class Remembering(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self._lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (module.ILogger.INTERNAL_ERROR, module.ILogger.ERROR):
                self._lines.append(_one_line(message))

        def said(self) -> str:
            """The errors so far, first first, and forget them."""
            lines, self._lines = self._lines, []
            return _shortened(lines)

    return Remembering()


def _shortened(lines: list[str]) -> str:
    rest = len(lines) - _SHOWN
    shown = lines[:_SHOWN] + ([f"and {rest} more"] if rest > 0 else [])
    return "\n         ".join(shown)


def _one_line(text: str) -> str:
    return " ".join(text.split())
