"""A bundle → plans for this machine. Needs no torch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from neon_edge.build.apart import compile_apart
from neon_edge.build.ledger import Ledger, key_of
from neon_edge.build.placed import PART, keep_only, next_of, put, scratch
from neon_edge.build.verify import measured, require
from neon_edge.build.verify_page import PAGE, write_page
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import FILE_NAME as MANIFEST
from neon_edge.engine.manifest import (
    EngineKind,
    Machine,
    Manifest,
    Part,
    read_manifest,
    write_manifest,
)
from neon_edge.engine.plan import compile_part, this_machine
from neon_edge.errors import ConfigWrong

CURRENT = "current"
MISSED = ".missed"
Tell = Callable[[str], None]


def plans_name(machine: Machine) -> str:
    """The directory name of plans for `machine`: engine, version, architecture."""
    return f"{machine.engine}-{machine.engine_version}-{machine.architecture}"


def compile_bundle(bundle: Path, built: Path, kind: EngineKind, threads: int, tell: Tell) -> Path:
    """Compile every part under `built`, verify, write the manifest and move `current` to it.

    Every build has a directory of its own, and the last one's goes unless a robot runs from it.
    Plans that miss a gate keep their manifest, which says so, in a directory that never becomes
    `current`. Raises `GateMissed`.
    """
    name = plans_name(this_machine(kind))
    made = _made(bundle, built / (name + PART), kind, threads, tell)
    if any(not gate.passed for gate in made.manifest.gates):
        missed = built / (name + MISSED)
        made.close(missed, tell)
        tell(f"these plans missed their gate; they stay in {missed} to be looked at")
        require(made.manifest.gates)
    plans = next_of(built, name)
    made.close(plans, tell)
    _use(plans)
    return plans


class _Made(NamedTuple):
    """Plans that are compiled and verified, and the ledger that puts them in their place."""

    manifest: Manifest
    steps: Ledger
    caption: str
    """Of the worst moment on the page; empty where there is no page."""

    def close(self, plans: Path, tell: Tell) -> Manifest:
        """Put them in place of `plans`."""
        self.steps.close(plans)
        if self.caption:
            tell(f"page {plans / PAGE}; worst: {self.caption}")
        return self.manifest


def compiled(
    bundle: Path,
    plans: Path,
    kind: EngineKind,
    threads: int,
    tell: Tell,
    tuning: bool = False,
) -> Manifest:
    """Compile and verify every part into `plans`, whole or not at all, whatever the gates say.

    Quantised plans get a page beside them. `tuning` is `measured`'s.
    """
    partial = plans.with_name(plans.name + PART)
    return _made(bundle, partial, kind, threads, tell, tuning).close(plans, tell)


def settle(made: Path, built: Path) -> Path:
    """Give the plans in `made` a place of their own under `built`, and `current` to them."""
    machine = read_manifest(made).machine
    assert machine is not None
    plans = next_of(built, plans_name(machine))
    put(made, plans)
    _use(plans)
    return plans


def _use(plans: Path) -> None:
    point(plans.with_name(CURRENT), plans.name)
    keep_only(plans)


def _made(
    bundle: Path,
    partial: Path,
    kind: EngineKind,
    threads: int,
    tell: Tell,
    tuning: bool = False,
) -> _Made:
    """Every part compiled and verified in `partial`."""
    manifest = read_manifest(bundle)
    machine = this_machine(kind)
    _check_types(manifest, kind)
    steps, parts, heads = _compile_parts(bundle, manifest, partial, machine, threads, tell)
    prompt = manifest.backbone.prompt
    for name in (prompt.tokenizer, prompt.embeddings, *manifest.heads.files):
        share(bundle / name, partial / name)
    done = structs.replace(
        manifest,
        machine=machine,
        backbone=structs.replace(manifest.backbone, parts=parts),
        heads=manifest.heads.with_parts(heads),
    )
    tell("verify")
    found = measured(bundle, partial, done, threads, tuning)
    done = structs.replace(done, gates=found.gates, errors=found.errors)
    caption = ""
    if done.backbone.quantised:
        caption = write_page(partial / PAGE, done, bundle, found.frames)
    write_manifest(partial, done)
    return _Made(done, steps, caption)


def _compile_parts(
    bundle: Path, manifest: Manifest, directory: Path, machine: Machine, threads: int, tell: Tell
) -> tuple[Ledger, list[Part], list[Part]]:
    """Plans of the backbone's parts and of the heads', each a step that an interrupt keeps."""
    kind, quantised = machine.engine, manifest.backbone.quantised
    backbone, heads = manifest.backbone.parts, manifest.heads.parts
    key = key_of(sha256_file(bundle / MANIFEST), machine, threads)
    steps = Ledger(directory, key, len(backbone) + len(heads), tell)

    def backbone_plan(part: Part) -> Part:
        with engine_form(bundle, part, quantised, kind, directory) as source:
            return compile_apart(source, part, directory, kind, threads)

    def head_plan(part: Part) -> Part:
        return compile_part(bundle, part, directory, kind)

    def step(part: Part, make: Callable[[Part], Part]) -> Part:
        return steps.step(
            f"compile {part.name}",
            Part,
            lambda: make(part),
            lambda made: {made.plan: made.plan_sha256},
        )

    parts = [step(part, backbone_plan) for part in backbone]
    return steps, parts, [step(part, head_plan) for part in heads]


def _check_types(manifest: Manifest, kind: EngineKind) -> None:
    if kind == "onnxruntime" and manifest.backbone.precision == "bf16":
        raise ConfigWrong(
            "ONNX Runtime multiplies no bfloat16 on a CPU",
            f"recipe {manifest.backbone.recipe!r} has precision bf16",
            'use --engine tensorrt, or precision = "fp16" or "fp32" in the recipe',
        )


@contextmanager
def engine_form(
    bundle: Path, part: Part, quantised: str, kind: EngineKind, directory: Path
) -> Iterator[Path]:
    """The directory that holds `part`'s graph in the form whose kernels `kind` has.

    Bundles hold TensorRT's form; ONNX Runtime's is written from it into a folder of `directory`,
    and dropped once compiled. A machine without `onnx`, a robot's, runs float graphs as they are:
    the same numbers, more slowly.
    """
    if kind != "onnxruntime" or not (quantised or _has_onnx()):
        yield bundle
        return
    from neon_edge.build.cpu.form import write_cpu_form, write_float_form

    write = write_cpu_form if quantised else write_float_form
    with scratch(directory) as place:
        write(bundle / part.onnx, place / part.onnx)
        yield place


def _has_onnx() -> bool:
    try:
        import onnx  # noqa: F401
    except ImportError:
        return False
    return True


def compile_only(bundle: Path, directory: Path, kind: EngineKind) -> Manifest:
    """Compile every part and keep the plans, unverified: for engines that cannot run here."""
    manifest = read_manifest(bundle)
    directory.mkdir(parents=True, exist_ok=True)
    for part in (*manifest.backbone.parts, *manifest.heads.parts):
        compile_apart(bundle, part, directory, kind)
    return manifest


def share(source: Path, target: Path) -> None:
    """Link where the file system can: an embedding table is a gigabyte."""
    if not source.is_file():
        raise ConfigWrong(f"the bundle lacks {source.name}", str(source), "make the bundle again")
    # An interrupted build may have left it; a copy onto itself is refused.
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def point(link: Path, name: str) -> None:
    """Make `link` mean `name`, at once: a robot that starts sees the old plans or the new."""
    partial = link.with_name(link.name + ".part")
    partial.unlink(missing_ok=True)
    partial.symlink_to(name)
    partial.replace(link)
