"""Pictures to patches against the processor of transformers, in turns, one thread, in CPU time.

    python tests/bench/bench_pictures.py [--rounds N] [--json]

Three jobs. Twice the processor is called as a user calls it, on the camera's picture: it keeps the
camera's size, up to multiples of its merged patches, and ours makes the nearest size that a graph
can have. Then a recipe's own size, 224 x 224, to which the processor needs Pillow or torchvision to
bring the picture first. The bar, 5 times, is on the first two.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import structs

sys.path.insert(0, str(Path(__file__).parents[2]))

from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.utils.import_utils import is_torchvision_available

from neon_edge.backbones.qwen_reference import resized
from neon_edge.engine.manifest import ImageGeometry
from neon_edge.features.preprocess import Preprocessor
from neon_edge.types import UInt8
from tests.features.test_preprocess import MEAN, STD
from tests.tiny_backbone import street

BAR = 5.0
JOBS = [
    (
        "as the processor does by itself, patches of 16",
        ImageGeometry(480, 640, 16, 2, 2, MEAN, STD),
    ),
    (
        "as the processor does by itself, patches of 14",
        ImageGeometry(448, 672, 14, 2, 2, MEAN, STD),
    ),
    ("to 224 x 224", ImageGeometry(224, 224, 14, 2, 2, MEAN, STD)),
]
OURS, SOFT, PILLOW, TORCH = (
    "ours",
    "ours, exact_pictures = false",
    "transformers, Pillow",
    "transformers, torchvision",
)


def main() -> int:
    """Exit code 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    wide = street()[2]
    picture = np.ascontiguousarray(np.concatenate([wide, wide[:208]]))
    found = {job: interleaved(ways(picture, to), options.rounds) for job, to in JOBS}
    if options.json:
        print(json.dumps(found))
        return _missed(found)
    for job, times in found.items():
        print(f"{picture.shape[1]} x {picture.shape[0]} {job}")
        for name, p50 in times.items():
            print(f"  {name:30} p50 {p50:8.3f} ms   {p50 / times[OURS]:6.1f}")
    return _missed(found)


def ways(picture: UInt8, to: ImageGeometry) -> dict[str, Callable[[], object]]:
    """Everything that makes patches of `picture`, by name."""
    out = np.empty((to.patches, to.patch_width), np.float32)
    exact, soft = Preprocessor(to), Preprocessor(structs.replace(to, exact=False))
    native = to.height > 224
    words: dict[str, Any] = {"patch_size": to.patch}
    pillow = Qwen2VLImageProcessorPil(**words)
    made: dict[str, Callable[[], object]] = {
        OURS: lambda: exact.fill(picture, out),
        SOFT: lambda: soft.fill(picture, out),
        PILLOW: lambda: pillow(picture if native else resized(picture, to), return_tensors="np"),
    }
    if is_torchvision_available():
        from transformers import Qwen2VLImageProcessor

        pixels = to.height * to.width
        size = {} if native else {"size": {"shortest_edge": pixels, "longest_edge": pixels}}
        fast = Qwen2VLImageProcessor(**words, **size)
        made[TORCH] = lambda: fast(picture, return_tensors="pt")
    return made


def interleaved(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of CPU time of each: what else runs on the machine weighs little."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 5):
        for name, way in ways.items():
            begun = time.thread_time()
            way()
            took[name].append((time.thread_time() - begun) * 1e3)
    return {name: float(np.median(times[5:])) for name, times in took.items()}


def _missed(found: dict[str, dict[str, float]]) -> int:
    native = [times for job, times in found.items() if "by itself" in job]
    return int(any(times[PILLOW] < BAR * times[OURS] for times in native))


if __name__ == "__main__":
    sys.exit(main())
