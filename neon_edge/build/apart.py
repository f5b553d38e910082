"""One part compiled in a process of its own, so that its memory ends with it.

A compiler keeps what it allocated: in one process, part after part, the peak is the sum of what
their heaps leave behind. A compiler that is killed for memory also takes only itself.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
from pathlib import Path

from neon_edge.engine.files import weights_of
from neon_edge.engine.manifest import EngineKind, Part
from neon_edge.engine.plan import compile_part
from neon_edge.errors import NeonEdgeError, PlanUnfit

_SMALL_BYTES = 64 << 20
"""A graph that is not worth a process."""


def compile_apart(
    bundle: Path, part: Part, directory: Path, kind: EngineKind, threads: int = 1
) -> Part:
    """`compile_part`, apart where the graph is large. Raises what it raises, or `PlanUnfit`."""
    if _bytes_of(bundle / part.onnx) < _SMALL_BYTES:
        return compile_part(bundle, part, directory, kind, threads)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_compile, args=(theirs, bundle, part, directory, kind, threads))
    child.start()
    theirs.close()
    try:
        found = ours.recv()
    except EOFError:
        child.join()
        raise PlanUnfit(
            f"the compiler of part {part.name!r} died",
            f"exit code {child.exitcode} (-9: killed, mostly for memory)",
            "set a smaller layers_per_part in the recipe, or free memory",
        ) from None
    finally:
        # Also on an interrupt: a compiler must not write on behind a build that has ended.
        if child.is_alive() and not ours.closed:
            child.join(timeout=5)
        child.kill()
        child.join()
        ours.close()
    if isinstance(found, NeonEdgeError):
        raise found
    assert isinstance(found, Part)
    return found


def _compile(
    answer: multiprocessing.connection.Connection,
    bundle: Path,
    part: Part,
    directory: Path,
    kind: EngineKind,
    threads: int,
) -> None:
    try:
        answer.send(compile_part(bundle, part, directory, kind, threads))
    except NeonEdgeError as failure:
        answer.send(failure)


def _bytes_of(graph: Path) -> int:
    return sum(path.stat().st_size for path in (graph, weights_of(graph)) if path.exists())
