"""What the features lose when one group of Linears alone is quantised, all else in float.

    errors of products ─▶ the worst few groups ─▶ each placed alone ─▶ 1 - cosine of the features

An error of a layer's own products does not say what becomes of it further on. This does, and costs
a pass a group and moment through its part and those behind; results are kept one by one.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
from msgspec import structs

from neon_edge.build.calibrate.moments import CalibrationSet
from neon_edge.build.cpu.form import cpu_form
from neon_edge.build.ledger import key_of, to_disk
from neon_edge.build.onnx_file import save
from neon_edge.build.quantise.feeds import Feeds, host_feeds, part_feeds
from neon_edge.build.quantise.layers import Quantised
from neon_edge.build.quantise.place import place
from neon_edge.build.quantise.skip import Group
from neon_edge.build.verify_features import lost
from neon_edge.engine.manifest import BackboneManifest
from neon_edge.types import Float32

MOMENTS = 4
"""Of the calibration set, evenly spaced: a rank needs fewer than a range."""

Tell = Callable[[str], None]


class Trials:
    """Effects that were measured, by group, in one file named by all that shaped them."""

    def __init__(self, directory: Path, key: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / f"effects-{key[:16]}.json"
        self._found: dict[str, float] = {}
        # What is not there, or broken, is measured again.
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            self._found = msgspec.json.decode(self._path.read_bytes(), type=dict[str, float])

    def get(self, group: Group) -> float | None:
        """What was measured for `group`, if it was."""
        return self._found.get(" ".join(group.names))

    def put(self, group: Group, effect: float) -> None:
        """Keep it, whole or not at all."""
        self._found[" ".join(group.names)] = effect
        partial = self._path.with_name(self._path.name + ".part")
        partial.write_bytes(msgspec.json.encode(self._found))
        to_disk(partial)
        partial.replace(self._path)


def measure_alone(
    bundle: Path,
    backbone: BackboneManifest,
    moments: CalibrationSet,
    done: Mapping[str, Quantised],
    groups: Sequence[Group],
    kept: Path,
    threads: int,
    tell: Tell,
) -> list[Group]:
    """`groups` (names are PART/NAME) with their effect, on `MOMENTS` of `moments`."""
    key = key_of([quantised.kept.key for quantised in done.values()], MOMENTS)
    trials, some = Trials(kept, key), _some(moments)
    if any(trials.get(group) is None for group in groups):
        wanted = _features(bundle, backbone, host_feeds(bundle, backbone, some), threads)
        known = host_feeds(bundle, backbone, some)
        for number, (part, _) in enumerate(part_feeds(bundle, backbone, known, threads)):
            here = [group for group in groups if group.names[0].startswith(part.name + "/")]
            for group in (group for group in here if trials.get(group) is None):
                tell(f"{', '.join(group.names)} alone")
                with tempfile.TemporaryDirectory(dir=kept) as scratch:
                    graph = Path(scratch) / "alone.onnx"
                    _write_alone(bundle / part.onnx, done[part.name], group, graph)
                    behind = _from(backbone, number, graph)
                    found = _features(bundle, behind, [dict(fed) for fed in known], threads)
                trials.put(group, float(lost(found, wanted).mean()))
    return [replace(group, effect=trials.get(group)) for group in groups]


def _some(moments: CalibrationSet) -> CalibrationSet:
    count = len(moments.names)
    places = np.unique(np.linspace(0, count - 1, MOMENTS).round().astype(int))
    return replace(
        moments,
        cameras=tuple(camera[places] for camera in moments.cameras),
        instructions=[moments.instructions[place] for place in places],
        names=[moments.names[place] for place in places],
        joints=moments.joints[places],
        sounds=None if moments.sounds is None else moments.sounds[places],
    )


def _features(bundle: Path, backbone: BackboneManifest, known: Feeds, threads: int) -> Float32:
    """(moments, width) behind all parts."""
    deque(part_feeds(bundle, backbone, known, threads), maxlen=0)
    return np.stack([tensors["pooled"].reshape(-1).astype(np.float32) for tensors in known])


def _from(backbone: BackboneManifest, number: int, graph: Path) -> BackboneManifest:
    """The parts from `number` on, that one computed by `graph`."""
    first, *rest = backbone.parts[number:]
    first = structs.replace(first, onnx=str(graph))
    apart = backbone.vision_apart and number == 0
    return structs.replace(backbone, parts=[first, *rest], vision_apart=apart)


def _write_alone(source: Path, done: Quantised, group: Group, target: Path) -> None:
    names = {name.partition("/")[2] for name in group.names}
    others = [report.name for report in done.reports if report.name not in names]
    model = place(onnx.load(str(source)), done.without(others))
    save(cpu_form(model), target)
