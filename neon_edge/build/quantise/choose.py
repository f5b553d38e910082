"""Build every precision, drop what misses its gate, time the rest here, keep the fastest."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from msgspec import structs

from neon_edge.build.calibrate.moments import fingerprint
from neon_edge.build.compile import Tell, compiled, plans_name, settle, share
from neon_edge.build.ledger import Ledger, key_of, sources_key
from neon_edge.build.placed import scratch
from neon_edge.build.quantise.bundle import Work, quantise_bundle
from neon_edge.build.quantise.method import Bits
from neon_edge.build.quantise.timed import timed
from neon_edge.build.verify import NOISE
from neon_edge.build.verify_page import PAGE, add_candidates
from neon_edge.engine.files import weights_of
from neon_edge.engine.manifest import Candidate, Manifest, read_manifest, write_manifest
from neon_edge.engine.plan import this_machine
from neon_edge.engine.tried import FLOAT, decided, tried_lines
from neon_edge.errors import GateMissed, PlanUnfit

BITS: tuple[Bits, ...] = ("int8", "int4")
TRIED = "tried"


def choose(work: Work, built: Path, bits: tuple[Bits, ...], tell: Tell) -> Path:
    """The directory of the winner's plans, which become `current`. Its manifest has the table.

    What was tried is kept in `built`/tried and not tried again for the same bundle, moments and
    recipe. Raises `GateMissed` where not even the float plans pass.
    """
    place = built / TRIED / plans_name(this_machine(work.engine))
    steps = Ledger(place, _key(work), 1 + len(bits), tell)
    table: dict[str, Candidate] = {}
    for name in (FLOAT, *bits):
        tried = partial(_tried, work, name, place / name, tell)
        try:
            table[name] = steps.step(f"try {name}", Candidate, tried, partial(_files, place))
        except PlanUnfit as failure:
            # Not kept: memory that was short may be there the next time.
            table[name] = Candidate(name, False, 0.0, 0, f"{failure.wrong}: {failure.facts}")
    plans = {name: place / name for name, row in table.items() if row.passed}
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
    chosen = _placed(plans[winner], built, rows)
    for line in tried_lines(rows):
        tell(line)
    return chosen


def _tried(work: Work, name: str, place: Path, tell: Tell) -> Candidate:
    """Plans of one precision in `place`, judged; a miss is a row too. Raises `PlanUnfit`."""
    bundle = work.bundle
    try:
        if name != FLOAT:
            bundle = work.bundle.with_name(f"{work.bundle.name}-{name}")
            quantise_bundle(work, name, bundle, tell)  # type: ignore[arg-type]
        made = compiled(bundle, place, work.engine, work.threads, tell)
    except GateMissed as failure:
        return Candidate(name, False, 0.0, 0, f"{failure.wrong}: {failure.facts}")
    failed = [gate for gate in made.gates if not gate.passed]
    said = "; ".join(f"{g.name} {g.measured:.3g} > {g.limit:.3g} {g.unit}" for g in failed)
    return Candidate(name, not failed, 0.0, graph_bytes(bundle, made), said or _worth(made))


def _files(place: Path, row: Candidate) -> list[str]:
    """What must still be there for a candidate not to be tried again."""
    if not row.passed:
        return []
    return [str(f.relative_to(place)) for f in sorted((place / row.name).iterdir())]


def _key(work: Work) -> str:
    """Everything that a trial depends on, our own code included."""
    made, package = read_manifest(work.bundle), Path(__file__).parents[2]
    return key_of(
        [made.backbone.model_hash, made.heads.checkpoint_sha256, made.verification],
        [part.onnx_sha256 for part in (*made.backbone.parts, *made.heads.parts)],
        [fingerprint(work.moments), work.settings, work.threads, this_machine(work.engine)],
        sources_key(package / "build", package / "engine", package / "features"),
    )


def _placed(plans: Path, built: Path, rows: list[Candidate]) -> Path:
    """`plans` linked to where a robot looks, with the table in manifest and page."""
    with scratch(built) as place:
        whole = place / plans.name
        whole.mkdir()
        for file in plans.iterdir():
            share(file, whole / file.name)
        write_manifest(whole, structs.replace(read_manifest(plans), candidates=rows))
        if (whole / PAGE).exists():
            add_candidates(whole / PAGE, rows)
        return settle(whole, built)


def graph_bytes(bundle: Path, manifest: Manifest) -> int:
    """Of the backbone's graphs with their weights."""
    files = [bundle / part.onnx for part in manifest.backbone.parts]
    files += [weights_of(file) for file in files if weights_of(file).exists()]
    return sum(file.stat().st_size for file in files)


def _worth(manifest: Manifest) -> str:
    skipped = len(manifest.backbone.float_layers)
    kept = f", {skipped} layers in float" if skipped else ""
    joints = [row for row in manifest.errors if row.unit == "rad"]
    if not joints:
        noise = next(row.max for row in manifest.errors if row.name == NOISE)
        return f"largest noise error {noise:.2g} half ranges (none in rad: a diffusion){kept}"
    worst = max(joints, key=lambda row: row.max)
    return f"largest joint error {worst.max:.2g} rad ({worst.name}){kept}"
