"""A bundle → plans for this machine. Needs no torch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from msgspec import structs

from neon_edge.build.verify import require, verify_plans
from neon_edge.engine.manifest import EngineKind, Machine, Manifest, read_manifest, write_manifest
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
    manifest = read_manifest(bundle)
    machine = this_machine(kind)
    plans = built / plans_name(machine)
    partial = plans.with_name(plans.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    parts = []
    for part in manifest.backbone.parts:
        tell(f"compile {part.name}")
        parts.append(compile_part(bundle, part, partial, kind, threads))
    tell("compile heads")
    heads = [compile_part(bundle, part, partial, kind) for part in manifest.heads.parts]
    for name in (manifest.backbone.prompt.tokenizer, manifest.backbone.prompt.embeddings):
        _share(bundle / name, partial / name)
    done = structs.replace(
        manifest,
        machine=machine,
        backbone=structs.replace(manifest.backbone, parts=parts),
        heads=manifest.heads.with_parts(heads),
    )
    tell("verify")
    done = structs.replace(done, gates=verify_plans(bundle, partial, done, threads))
    write_manifest(partial, done)
    shutil.rmtree(plans, ignore_errors=True)
    partial.replace(plans)
    require(done.gates)
    _point(built / CURRENT, plans.name)
    return plans


def compile_only(bundle: Path, directory: Path, kind: EngineKind) -> Manifest:
    """Compile every part and keep the plans, unverified: for engines that cannot run here."""
    manifest = read_manifest(bundle)
    directory.mkdir(parents=True, exist_ok=True)
    for part in (*manifest.backbone.parts, *manifest.heads.parts):
        compile_part(bundle, part, directory, kind)
    return manifest


def _share(source: Path, target: Path) -> None:
    """Link where the file system can: an embedding table is a gigabyte."""
    if not source.is_file():
        raise ConfigWrong(f"the bundle lacks {source.name}", str(source), "make the bundle again")
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _point(link: Path, name: str) -> None:
    partial = link.with_name(link.name + ".part")
    partial.unlink(missing_ok=True)
    partial.symlink_to(name)
    partial.replace(link)
