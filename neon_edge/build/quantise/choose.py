"""Build every precision, drop what misses its gate, time the rest here, keep the fastest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from msgspec import structs

from neon_edge.build.compile import Tell, compiled, plans_name, settle
from neon_edge.build.quantise.bundle import Work, quantise_bundle
from neon_edge.build.quantise.method import Bits
from neon_edge.build.quantise.passes import open_pass
from neon_edge.clock import MonotonicClock
from neon_edge.engine.files import weights_of
from neon_edge.engine.manifest import Candidate, Manifest, read_manifest, write_manifest
from neon_edge.engine.plan import open_engine, this_machine
from neon_edge.engine.tried import FLOAT, decided, tried_lines
from neon_edge.errors import GateMissed

BITS: tuple[Bits, ...] = ("int8", "int4")
ROUNDS = 15
_WARM_UP = 2


def choose(work: Work, built: Path, bits: tuple[Bits, ...], tell: Tell) -> Path:
    """The directory of the winner's plans, which become `current`. Its manifest has the table.

    Raises `GateMissed` where not even the float plans pass.
    """
    plans: dict[str, Path] = {}
    table: dict[str, Candidate] = {}
    for name in (FLOAT, *bits):
        try:
            bundle = work.bundle
            if name != FLOAT:
                bundle = work.bundle.with_name(f"{work.bundle.name}-{name}")
                quantise_bundle(work, name, bundle, tell)  # type: ignore[arg-type]
            place = built / f"{plans_name(this_machine(work.engine))}-{name}"
            made = compiled(bundle, place, work.engine, work.threads, tell)
        except GateMissed as failure:
            table[name] = Candidate(name, False, 0.0, 0, f"{failure.wrong}: {failure.facts}")
            continue
        failed = [gate for gate in made.gates if not gate.passed]
        said = "; ".join(f"{g.name} {g.measured:.3g} > {g.limit:.3g} {g.unit}" for g in failed)
        size = graph_bytes(bundle, made)
        table[name] = Candidate(name, not failed, 0.0, size, said or _worth(made))
        if not failed:
            plans[name] = place
    if not plans:
        raise GateMissed(
            "no precision passes its gate",
            "; ".join(f"{row.name}: {row.note}" for row in table.values()),
            "see the float plans' gates first",
        )
    for name, spent in timed(plans, work.threads).items():
        table[name] = structs.replace(table[name], median_ms=spent)
    rows = decided(table.values())
    winner = next(row.name for row in rows if row.chosen)
    fastest = plans[winner]
    write_manifest(fastest, structs.replace(read_manifest(fastest), candidates=rows))
    chosen = settle(fastest, built)
    for line in tried_lines(rows):
        tell(line)
    return chosen


def timed(plans: dict[str, Path], threads: int) -> dict[str, float]:
    """Median ms of a whole pass, all plans in turn so that the machine's moods fall on all."""
    clock = MonotonicClock()
    passes = {name: _opened(directory, threads) for name, directory in plans.items()}
    spent: dict[str, list[float]] = {name: [] for name in plans}
    for number in range(ROUNDS + _WARM_UP):
        for name, (infer, _) in passes.items():
            began = clock.now_ns()
            infer()
            if number >= _WARM_UP:
                spent[name].append((clock.now_ns() - began) / 1e6)
    for _, close in passes.values():
        close()
    return {name: float(np.median(times)) for name, times in spent.items()}


def graph_bytes(bundle: Path, manifest: Manifest) -> int:
    """Of the backbone's graphs with their weights."""
    files = [bundle / part.onnx for part in manifest.backbone.parts]
    files += [weights_of(file) for file in files if weights_of(file).exists()]
    return sum(file.stat().st_size for file in files)


def _opened(directory: Path, threads: int) -> tuple[Callable[[], None], Callable[[], None]]:
    manifest = read_manifest(directory)
    engines = [
        open_engine(directory, part, manifest.machine, threads) for part in manifest.backbone.parts
    ]
    return open_pass(manifest.backbone, directory, engines, manifest.verification.instruction)


def _worth(manifest: Manifest) -> str:
    worst = max((row for row in manifest.errors if row.unit == "rad"), key=lambda row: row.max)
    skipped = len(manifest.backbone.float_layers)
    kept = f", {skipped} layers in float" if skipped else ""
    return f"largest joint error {worst.max:.2g} rad ({worst.name}){kept}"
