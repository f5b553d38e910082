"""Compile, check and open plans: which implementation, and does the plan fit this machine?"""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from msgspec import structs

from neon_edge.engine.action_tokens import ActionTokens
from neon_edge.engine.byte_pairs import BytePairs
from neon_edge.engine.contract import Engine
from neon_edge.engine.denoise import DenoisingEngine
from neon_edge.engine.euler import EulerEngine
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import (
    EngineKind,
    FastManifest,
    HeadsManifest,
    Machine,
    Manifest,
    Part,
)
from neon_edge.engine.selective import SelectiveEngine
from neon_edge.engine.spelling import SpellingEngine
from neon_edge.engine.staged import StagedEngine
from neon_edge.errors import ConfigWrong, PlanUnfit

__all__ = [
    "check_fits",
    "check_plan_file",
    "compile_part",
    "open_engine",
    "open_heads_engine",
    "sha256_file",
    "this_machine",
]

_SUFFIX: dict[EngineKind, str] = {
    "onnxruntime": ".ort.onnx",
    "tensorrt": ".plan",
    "tensorrt-rtx": ".rtx.plan",
}
_REBUILD = "compile the bundle again on this machine: neon-edge build RECIPE"

# From wide to narrow. ONNX Runtime lays convolutions out for the vector width it finds.
_VECTORS = ("avx512f", "avx2", "avx", "sve", "i8mm", "asimddp", "asimd")


def this_machine(kind: EngineKind) -> Machine:
    """What a plan of this `kind` would be tied to here. Raises `DeviceMissing`."""
    architecture = platform.machine()
    match kind:
        case "onnxruntime":
            from neon_edge.engine import onnxruntime

            return Machine(kind, onnxruntime.version(), architecture, cpu_model())
        case "tensorrt":
            from neon_edge.engine import cuda, tensorrt

            device = cuda.device_name(cuda.load_runtime())
            return Machine(kind, tensorrt.version(), architecture, device)
        case "tensorrt-rtx":
            from neon_edge.engine import rtx

            return Machine(kind, rtx.version(), architecture, rtx.ORIN_LIKE)


def cpu_model(
    cpuinfo: Path = Path("/proc/cpuinfo"), board: Path = Path("/proc/device-tree/model")
) -> str:
    """The CPU's name and its widest vector unit, such as "AMD EPYC 7763, avx2".

    ARM's cpuinfo has no name; there the board's model is one, or else implementer and part.
    """
    facts: dict[str, str] = {}
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())
    flags = facts.get("flags", facts.get("Features", "")).split()
    vector = next((name for name in _VECTORS if name in flags), "no vectors known")
    return f"{_cpu_name(facts, board)}, {vector}"


def _cpu_name(facts: dict[str, str], board: Path) -> str:
    if name := facts.get("model name"):
        return name
    if board.exists():
        return board.read_text(errors="replace").rstrip("\0\n")
    if "CPU part" in facts:
        return f"implementer {facts.get('CPU implementer', '?')} part {facts['CPU part']}"
    return platform.processor() or "unknown CPU"


def check_fits(manifest: Manifest, here: Machine) -> None:
    """Raise `PlanUnfit`, naming both sides, unless the plans were compiled on one like `here`."""
    there = manifest.machine
    if there is None:
        raise PlanUnfit("this is a bundle, not plans", "its manifest names no machine", _REBUILD)
    differences = [
        f"{field.replace('_', ' ')} {getattr(there, field)!r} in the plan, "
        f"{getattr(here, field)!r} here"
        for field in Machine.__struct_fields__
        if getattr(there, field) != getattr(here, field)
    ]
    if differences:
        raise PlanUnfit("the plans do not fit this machine", "; ".join(differences), _REBUILD)


def check_plan_file(directory: Path, part: Part) -> Path:
    """The plan of `part`, unchanged since its manifest was written. Raises `PlanUnfit`."""
    if not part.plan:
        raise PlanUnfit(f"part {part.name!r} has no plan", f"{directory} holds a bundle", _REBUILD)
    plan = directory / part.plan
    if not plan.is_file():
        raise PlanUnfit(f"plan {part.plan} is not there", f"looked in {directory}", _REBUILD)
    found = sha256_file(plan)
    if found != part.plan_sha256:
        raise PlanUnfit(
            f"plan {part.plan} has changed or was cut short",
            f"sha256 {found[:16]}…, manifest says {part.plan_sha256[:16]}…; "
            f"{plan.stat().st_size} bytes",
            _REBUILD,
        )
    return plan


def compile_part(
    bundle: Path, part: Part, directory: Path, kind: EngineKind, threads: int = 1
) -> Part:
    """Compile one graph of `bundle` into `directory`; return the part with its plan filled in."""
    onnx = bundle / part.onnx
    if not onnx.is_file():
        raise ConfigWrong(
            f"graph {part.onnx} is not there", f"looked in {bundle}", "make the bundle again"
        )
    plan = directory / (part.name + _SUFFIX[kind])
    match kind:
        case "onnxruntime":
            from neon_edge.engine.onnxruntime import compile_onnxruntime

            compile_onnxruntime(onnx, plan, threads)
        case "tensorrt":
            from neon_edge.engine.tensorrt import TensorRtOptions, compile_tensorrt

            timings = directory / "timings.cache"
            compile_tensorrt(onnx, plan, TensorRtOptions(timing_cache=timings))
        case "tensorrt-rtx":
            from neon_edge.engine.rtx import compile_rtx

            compile_rtx(onnx, plan)
    return Part(
        name=part.name,
        onnx=part.onnx,
        onnx_sha256=part.onnx_sha256,
        inputs=part.inputs,
        outputs=part.outputs,
        plan=plan.name,
        plan_sha256=sha256_file(plan),
    )


def open_engine(
    directory: Path,
    part: Part,
    machine: Machine | None,
    threads: int = 1,
    *,
    urgent: bool = False,
) -> Engine:
    """Check the plan of `part` and open it with the implementation that `machine` names.

    `threads` is for the CPU, `urgent` (ahead of other streams) for the GPU. Call `check_fits`
    first. Raises `PlanUnfit` when the file or its tensors are not what the manifest says.
    """
    plan = check_plan_file(directory, part)
    if machine is None:
        raise PlanUnfit(f"{directory} is a bundle", "its manifest names no machine", _REBUILD)
    engine: Engine
    match machine.engine:
        case "onnxruntime":
            from neon_edge.engine.onnxruntime import OnnxRuntimeEngine

            engine = OnnxRuntimeEngine(plan, threads)
        case "tensorrt":
            from neon_edge.engine.tensorrt import TensorRtEngine

            engine = TensorRtEngine(plan, urgent=urgent)
        case "tensorrt-rtx":
            from neon_edge.engine.rtx import load_rtx
            from neon_edge.engine.tensorrt import TensorRtEngine

            engine = TensorRtEngine(plan, urgent=urgent, module=load_rtx())
    _check_tensors(engine, part)
    return engine


def open_heads_engine(
    directory: Path,
    heads: HeadsManifest,
    machine: Machine | None,
    *,
    urgent: bool = False,
    guided: bool = False,
    one_row: bool = False,
    moved: float = 0.0,
) -> Engine:
    """The heads as one engine on one thread: pooled features, joints, sensors, noise -> `chunk`.

    `guided` gives an `EulerEngine`; raises `ConfigWrong` where the heads cannot be guided.
    `one_row` gives, where the heads can, an engine whose `chunk` is the one row that its input
    `row` numbers. `moved` is a `SelectiveEngine`'s threshold, where they have one.
    """
    if one_row and heads.row_part is not None:
        heads = structs.replace(heads, part=heads.row_part)

    with ExitStack() as kept:

        def opened(part: Part) -> Engine:
            engine = open_engine(directory, part, machine, 1, urgent=urgent)
            kept.callback(engine.close)
            return engine

        together = _in_steps(heads, opened) if guided else _whole(directory, heads, opened, moved)
        kept.pop_all()
    return together


Opener = Callable[[Part], Engine]


def _in_steps(heads: HeadsManifest, opened: Opener) -> Engine:
    _check_guided(heads)
    condition, velocity, pullback = (opened(part) for part in heads.guided_parts)
    staged = StagedEngine([opened(part) for part in heads.slow_parts], condition)
    return EulerEngine(staged, velocity, pullback)


def _whole(directory: Path, heads: HeadsManifest, opened: Opener, moved: float) -> Engine:
    engine = opened(heads.part)
    if heads.slow_parts:
        engine = StagedEngine([opened(part) for part in heads.slow_parts], engine)
    if heads.step_part is None:
        return engine
    step = opened(heads.step_part)
    if heads.fast is not None:
        fast, shape = heads.fast, engine.outputs["base"].shape
        pairs = BytePairs(_check_tokenizer(directory, fast))
        tokens = ActionTokens(pairs, fast.scale, fast.min_token, shape[1], shape[2])
        return SpellingEngine(engine, step, tokens, fast.budget)
    if heads.head_type == "jepa":
        return SelectiveEngine(engine, step, moved)
    return DenoisingEngine(engine, step)


def _check_tokenizer(directory: Path, fast: FastManifest) -> Path:
    path = directory / fast.tokenizer
    if not path.is_file() or sha256_file(path) != fast.tokenizer_sha256:
        raise PlanUnfit(
            "the heads' action tokenizer is missing or has changed", str(path), _REBUILD
        )
    return path


def _check_guided(heads: HeadsManifest) -> None:
    if heads.head_type != "flow":
        raise ConfigWrong(
            "real-time chunking guides the steps of a flow, and these heads have none",
            f"action head {heads.head_type!r}",
            'choose strategy = "fresh", "chunk" or "ensemble" in [heads]',
        )
    if not heads.guided_parts:
        raise ConfigWrong(
            "these plans of a flow cannot be guided",
            "built with tokens, or before guided parts existed",
            _REBUILD,
        )


def _check_tensors(engine: Engine, part: Part) -> None:
    """A plan with other tensors than its manifest would feed the robot the wrong numbers."""
    for side, specs, buffers in (
        ("inputs", part.inputs, engine.inputs),
        ("outputs", part.outputs, engine.outputs),
    ):
        wanted = {spec.name: (tuple(spec.shape), spec.dtype) for spec in specs}
        found = {name: (array.shape, array.dtype.name) for name, array in buffers.items()}
        if wanted != found:
            engine.close()
            raise PlanUnfit(
                f"part {part.name!r} has other {side} than its manifest says",
                f"plan {found}, manifest {wanted}",
                _REBUILD,
            )
