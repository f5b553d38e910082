"""A manifest in lines, for people."""

from __future__ import annotations

import msgspec

from neon_edge.engine.manifest import Manifest, Part
from neon_edge.engine.tried import tried_lines


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
        f"features   {backbone.pooled_width} wide, {backbone.tokens} tokens"
        f"{' (given out too)' if backbone.shown else ''}, {backbone.tap}, "
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
