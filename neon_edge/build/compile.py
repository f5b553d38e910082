"""A bundle → plans for this machine. Needs no torch."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import structs

from neon_edge.build.apart import compile_apart
from neon_edge.build.ledger import FILE_NAME as STEPS
from neon_edge.build.ledger import Ledger, key_of
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
Tell = Callable[[str], None]


def plans_name(machine: Machine) -> str:
    """The directory name of plans for `machine`: engine, version, architecture."""
    return f"{machine.engine}-{machine.engine_version}-{machine.architecture}"


def compile_bundle(bundle: Path, built: Path, kind: EngineKind, threads: int, tell: Tell) -> Path:
    """Compile every part under `built`, verify, write the manifest and move `current` to it.

    Plans that miss a gate keep their manifest, which says so, and never become `current`. Raises
    `GateMissed`.
    """
    machine = this_machine(kind)
    plans = built / plans_name(machine)
    done = compiled(bundle, plans, kind, threads, tell)
    require(done.gates)
    point(built / CURRENT, plans.name)
    return plans


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
    manifest = read_manifest(bundle)
    machine = this_machine(kind)
    _check_types(manifest, kind)
    partial = plans.with_name(plans.name + ".part")
    parts, heads = _compile_parts(bundle, manifest, partial, machine, threads, tell)
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
    (partial / STEPS).unlink(missing_ok=True)
    write_manifest(partial, done)
    shutil.rmtree(plans, ignore_errors=True)
    partial.replace(plans)
    if caption:
        tell(f"page {plans / PAGE}; worst: {caption}")
    return done


def _compile_parts(
    bundle: Path, manifest: Manifest, directory: Path, machine: Machine, threads: int, tell: Tell
) -> tuple[list[Part], list[Part]]:
    """Plans of the backbone's parts and of the heads', each a step that an interrupt keeps."""
    kind, quantised = machine.engine, manifest.backbone.quantised
    backbone, heads = manifest.backbone.parts, manifest.heads.parts
    key = key_of(sha256_file(bundle / MANIFEST), machine, threads)
    steps = Ledger(directory, key, len(backbone) + len(heads), tell)

    def backbone_plan(part: Part) -> Part:
        with engine_form(bundle, part, quantised, kind) as source:
            return compile_apart(source, part, directory, kind, threads)

    def head_plan(part: Part) -> Part:
        return compile_part(bundle, part, directory, kind)

    def step(part: Part, make: Callable[[Part], Part]) -> Part:
        return steps.step(f"compile {part.name}", Part, lambda: make(part), lambda p: [p.plan])

    return [step(p, backbone_plan) for p in backbone], [step(p, head_plan) for p in heads]


def _check_types(manifest: Manifest, kind: EngineKind) -> None:
    if kind == "onnxruntime" and manifest.backbone.precision == "bf16":
        raise ConfigWrong(
            "ONNX Runtime multiplies no bfloat16 on a CPU",
            f"recipe {manifest.backbone.recipe!r} has precision bf16",
            'use --engine tensorrt, or precision = "fp16" or "fp32" in the recipe',
        )


@contextmanager
def engine_form(bundle: Path, part: Part, quantised: str, kind: EngineKind) -> Iterator[Path]:
    """The directory that holds `part`'s graph in the form whose kernels `kind` has.

    Bundles hold TensorRT's form; ONNX Runtime's is written from it, and dropped once compiled.
    """
    if not quantised or kind != "onnxruntime":
        yield bundle
        return
    from neon_edge.build.quantise.cpu_form import write_cpu_form

    with tempfile.TemporaryDirectory() as name:
        write_cpu_form(bundle / part.onnx, Path(name) / part.onnx)
        yield Path(name)


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
