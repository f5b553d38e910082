"""One part compiled in a process of its own, so that its memory ends with it.

A compiler keeps what it allocated: in one process, part after part, the peak is the sum of what
their heaps leave behind. A compiler that is killed for memory also takes only itself.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import multiprocessing.connection
import signal
from pathlib import Path

from neon_edge.engine.files import weights_of
from neon_edge.engine.manifest import EngineKind, Part
from neon_edge.engine.plan import compile_part
from neon_edge.errors import NeonEdgeError, PlanUnfit

_PR_SET_PDEATHSIG = 1
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
        raise _died(part, child.exitcode) from None
    finally:
        # Also on an interrupt: a compiler must not write on behind a build that has ended.
        child.kill()
        child.join()
        ours.close()
    if isinstance(found, MemoryError):
        raise _died(part, -signal.SIGKILL)
    if isinstance(found, Exception):
        raise found
    assert isinstance(found, Part)
    return found


def _died(part: Part, code: int | None) -> PlanUnfit:
    wrong = f"the compiler of part {part.name!r} died"
    if code == -signal.SIGKILL:
        fix = "set a smaller layers_per_part in the recipe, or free memory"
        return PlanUnfit(wrong, "it found no memory, or was killed for it (-9)", fix)
    return PlanUnfit(wrong, f"exit code {code}", "see what it said above")


def _compile(
    answer: multiprocessing.connection.Connection,
    bundle: Path,
    part: Part,
    directory: Path,
    kind: EngineKind,
    threads: int,
) -> None:
    follow_the_build()
    try:
        answer.send(compile_part(bundle, part, directory, kind, threads))
    except (NeonEdgeError, OSError, MemoryError) as failure:
        answer.send(failure)


def follow_the_build() -> None:
    """A build that is killed must not leave a compiler that writes into the next one's files."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The build hears the same Ctrl-C, and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _bytes_of(graph: Path) -> int:
    return sum(path.stat().st_size for path in (graph, weights_of(graph)) if path.exists())
