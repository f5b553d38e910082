"""Work of a build in a process of its own, so that its memory ends with it.

A compiler keeps what it allocated: in one process, part after part, the peak is the sum of what
their heaps leave behind. One that is killed for memory also takes only itself.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import multiprocessing.connection
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from neon_edge.engine.files import weights_of
from neon_edge.engine.manifest import EngineKind, Part
from neon_edge.engine.plan import compile_part
from neon_edge.engine.started import environment
from neon_edge.errors import NeonEdgeError, PlanUnfit

_PR_SET_PDEATHSIG = 1
_SMALL_BYTES = 64 << 20
"""A graph that is not worth a process."""

Result = TypeVar("Result")
Died = Callable[[int | None], NeonEdgeError]
"""An exit code → what to say of it."""


def compile_apart(
    bundle: Path, part: Part, directory: Path, kind: EngineKind, threads: int = 1
) -> Part:
    """`compile_part`, apart where the graph is large. Raises what it raises, or `PlanUnfit`."""
    given = (bundle, part, directory, kind, threads)
    if _bytes_of(bundle / part.onnx) < _SMALL_BYTES:
        return compile_part(*given)
    return apart(partial(compile_part, *given), partial(_died, part))


def apart(work: Callable[[], Result], died: Died) -> Result:
    """What `work` returns, in a process that is started as a robot's are.

    Raises what it raises, or what is `died` of where it ends without a word.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(theirs, work))
    with _in(environment()):
        child.start()
    theirs.close()
    try:
        found: Any = ours.recv()
    except EOFError:
        child.join()
        raise died(child.exitcode) from None
    finally:
        # Also on an interrupt: a compiler must not write on behind a build that has ended.
        child.kill()
        child.join()
        ours.close()
    if isinstance(found, MemoryError):
        raise died(-signal.SIGKILL)
    if isinstance(found, Exception):
        raise found
    result: Result = found
    return result


def _died(part: Part, code: int | None) -> PlanUnfit:
    wrong = f"the compiler of part {part.name!r} died"
    if code == -signal.SIGKILL:
        fix = "set a smaller layers_per_part in the recipe, or free memory"
        return PlanUnfit(wrong, "it found no memory, or was killed for it (-9)", fix)
    return PlanUnfit(wrong, f"exit code {code}", "see what it said above")


def _answer(answer: multiprocessing.connection.Connection, work: Callable[[], Any]) -> None:
    follow_the_build()
    try:
        answer.send(work())
    except (NeonEdgeError, OSError, MemoryError) as failure:
        answer.send(failure)


@contextmanager
def _in(surroundings: Mapping[str, str]) -> Iterator[None]:
    """multiprocessing starts a process in our own environment, and takes no other."""
    ours = dict(os.environ)
    os.environ.update(surroundings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(ours)


def follow_the_build() -> None:
    """A build that is killed must not leave a compiler that writes into the next one's files."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The build hears the same Ctrl-C, and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _bytes_of(graph: Path) -> int:
    return sum(path.stat().st_size for path in (graph, weights_of(graph)) if path.exists())
