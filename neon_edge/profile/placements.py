"""Where the heads could run, measured in a process of their own while the backbone runs.

Every placement is asked in turn, three quarters of a period behind the control loop, with the
control process's priority and cores: one inference on new joint state, and at every fifth of them
new features too, as the backbone would bring them. On a GPU the process has its own CUDA context,
as the control process would.

Run by `profile` as `python -m neon_edge.profile.placements SPEC.json`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from msgspec import Struct

from neon_edge.clock import Clock, MonotonicClock
from neon_edge.engine.attended import TOKEN_MASK, TOKENS, open_feed
from neon_edge.engine.contract import Engine
from neon_edge.engine.manifest import EngineKind, Manifest, read_manifest
from neon_edge.engine.plan import check_fits, open_heads_engine, this_machine
from neon_edge.errors import ConfigWrong, NeonEdgeError
from neon_edge.profile.beside import BesideSpec, origin, run_beside, wake_ups
from neon_edge.runtime.child import Stop
from neon_edge.runtime.realtime import enter_real_time
from neon_edge.telemetry.mapped import RingWriter

NEW_FEATURES_EVERY = 5
WARM_UP_RUNS = 20
MAX_RATE_HZ = 100.0
"""Above it there is no room between two ticks for heads that are not the loop's own."""

KINDS: dict[str, EngineKind] = {"cpu": "onnxruntime", "gpu": "tensorrt"}


class Candidate(Struct, frozen=True):
    """One placement: its plans, or why there are none."""

    name: str
    """cpu or gpu"""
    plans: str = ""
    why_not: str = ""


class TrialRing(RingWriter):
    """A row an inference, ns: which placement (its number), and whether the features were new."""

    CAPACITY = 65_536
    FIELDS = (("start_ns", "i8"), ("end_ns", "i8"), ("placement", "u1"), ("new", "u1"))

    def add(self, start_ns: int, end_ns: int, placement: int, new: int) -> None:
        """Remember an inference."""
        self._put(start_ns, end_ns, placement, new)


def candidates(plans: Path, manifest: Manifest) -> list[Candidate]:
    """Every placement: plans of the same heads that were compiled beside `plans` and fit here."""
    return [_candidate(name, kind, plans, manifest) for name, kind in KINDS.items()]


def _candidate(name: str, kind: EngineKind, plans: Path, manifest: Manifest) -> Candidate:
    try:
        here = this_machine(kind)
    except NeonEdgeError as failure:
        return Candidate(name, why_not=failure.wrong)
    why_not = f"no {kind} plans of these heads; compile them with neon-edge build"
    resolved = plans.resolve()
    # The plans that the robot uses come first: they are what it runs now.
    for directory in dict.fromkeys([resolved, *sorted(resolved.parent.iterdir())]):
        try:
            found = read_manifest(directory)
            if found.machine is None or found.machine.engine != kind or not _same(found, manifest):
                continue
            check_fits(found, here)
        except ConfigWrong as failure:
            why_not = failure.wrong if directory == resolved else why_not
            continue
        return Candidate(name, plans=str(directory))
    return Candidate(name, why_not=why_not)


def _same(one: Manifest, other: Manifest) -> bool:
    return [part.onnx_sha256 for part in one.heads.parts] == [
        part.onnx_sha256 for part in other.heads.parts
    ]


class Trial:
    """The heads of one directory of plans, fed with numbers of the right shapes (seeded)."""

    def __init__(self, directory: Path, one_row: bool = False) -> None:
        manifest = read_manifest(directory)
        self._engine: Engine = open_heads_engine(
            directory, manifest.heads, manifest.machine, urgent=True, one_row=one_row
        )
        random = np.random.default_rng(0)
        self._inputs = {
            name: [random.standard_normal(buffer.shape).astype(buffer.dtype) for _ in range(2)]
            for name, buffer in self._engine.inputs.items()
            if buffer.dtype == np.float32 and name not in (TOKENS, TOKEN_MASK)
        }
        self._feed = open_feed(self._engine)
        if self._feed is not None:
            shape = (2, *self._engine.inputs[TOKENS].shape[1:])
            self._tokens = random.standard_normal(shape, np.float32)
        self._result = np.empty_like(self._engine.outputs["chunk"])
        self._turn = 0
        for _ in range(WARM_UP_RUNS):
            self.infer(new=True)

    def infer(self, new: bool) -> None:
        """One inference from joint state, and from other features than before where `new`."""
        self._turn += 1
        for name, values in self._inputs.items():
            if new or name != "pooled":
                np.copyto(self._engine.inputs[name], values[self._turn % 2])
        if new and self._feed is not None:
            self._feed.put(self._tokens[self._turn % 2])
        self._engine.start()
        self._engine.wait()
        np.copyto(self._result, self._engine.outputs["chunk"])


def measure(
    trials: list[Trial], ring: TrialRing, spec: BesideSpec, clock: Clock, stop: Stop
) -> None:
    """Every placement in turn, one inference a wake-up, until told to stop."""
    origin_ns = origin(spec, clock, stop)
    if origin_ns is None:
        return
    for turn, _ in enumerate(wake_ups(origin_ns, spec.period_ns, clock, stop)):
        round_number, placement = divmod(turn, len(trials))
        new = round_number % NEW_FEATURES_EVERY == 0
        start_ns = clock.now_ns()
        trials[placement].infer(new)
        ring.add(start_ns, clock.now_ns(), placement, new)


def run(spec: BesideSpec, stop: Stop) -> None:
    """Open every directory of plans, warm up, measure."""
    trials = [Trial(Path(plans), spec.one_row) for plans in spec.plans]
    with TrialRing.open_writer(Path(spec.ring)) as ring:
        # Not locked: where a placement is the GPU, this process holds a CUDA context.
        enter_real_time(lock=False)
        measure(trials, ring, spec, MonotonicClock(), stop)


if __name__ == "__main__":
    sys.exit(run_beside("placements", run))
