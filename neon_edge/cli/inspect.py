"""`neon-edge inspect`: what is in a directory of plans, and does it fit this machine."""

from __future__ import annotations

import argparse
import sys

import msgspec

from neon_edge.build.ledger import unfinished
from neon_edge.engine.manifest import Manifest, Part, read_manifest
from neon_edge.engine.plan import check_fits, check_plan_file, this_machine
from neon_edge.engine.tried import tried_lines
from neon_edge.errors import ConfigWrong
from neon_edge.runtime.plans import built_path, find_plans


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument("engines", help="a built recipe's name, or a directory with a manifest")
    parser.add_argument("--json", action="store_true", help="the manifest itself on stdout")


def main(options: argparse.Namespace) -> int:
    """Print the manifest for a person, or as it is; exit 78 where plans do not fit here."""
    try:
        directory = find_plans(options.engines)
    except ConfigWrong as failure:
        raise unfinished(options.engines, built_path()) or failure from None
    manifest = read_manifest(directory)
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(manifest) + b"\n")
    else:
        print(f"{directory}\n")
        print("\n".join(describe(manifest)))
    if manifest.machine is None:
        return 0
    check_fits(manifest, this_machine(manifest.machine.engine))
    for part in (*manifest.backbone.parts, *manifest.heads.parts):
        try:
            check_plan_file(directory, part)
        except ConfigWrong as failure:
            print(f"neon-edge: {failure}", file=sys.stderr)
            return failure.exit_code
    return 0


def describe(manifest: Manifest) -> list[str]:
    """The manifest's facts, a line each."""
    backbone, heads, machine = manifest.backbone, manifest.heads, manifest.machine
    target = (
        "any machine (a bundle)"
        if machine is None
        else " · ".join(msgspec.structs.astuple(machine))
    )
    lines = [
        f"backbone   {backbone.model_id} ({backbone.recipe}), weights {backbone.weights}, "
        f"licence {backbone.licence}",
        f"features   {backbone.pooled_width} wide, {backbone.tokens} tokens, {backbone.tap}, "
        f"hash {backbone.model_hash}",
        f"precision  {backbone.precision}, Linears {backbone.quantised or 'the same'}",
        f"heads      {heads.head_type} {heads.control_mode}, {len(heads.joint_names)} joints"
        f"{' + base' if heads.base_velocity else ''}, {heads.steps} steps, from {heads.checkpoint}",
        f"made       {manifest.created} on {manifest.made_on} by neon-edge {manifest.neon_edge}",
        f"for        {target}",
    ]
    lines += [
        f"weights    {one.name}: {one.model_id or 'a folder'} at {one.revision or 'no commit'}, "
        f"licence {one.licence or 'unknown'}, sha256 {one.sha256}"
        for one in backbone.sources
    ]
    lines += [_part(part) for part in (*backbone.parts, *heads.parts)]
    for gate in manifest.gates:
        lines.append(
            f"gate       {gate.name}: {gate.measured:.3g} {gate.unit} "
            f"(limit {gate.limit:.3g}, worst {gate.worst}) {'passed' if gate.passed else 'FAILED'}"
        )
    return lines + [f"tried    {line}" for line in tried_lines(manifest.candidates)]


def _part(part: Part) -> str:
    shapes = ", ".join(f"{spec.name} {spec.shape}" for spec in part.inputs)
    results = ", ".join(f"{spec.name} {spec.shape}" for spec in part.outputs)
    return f"part       {part.name}: {shapes} → {results}"
