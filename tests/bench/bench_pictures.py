"""Pictures to patches, and the vision cache, each against what it replaces, interleaved in one run.

    python tests/bench/bench_pictures.py [--rounds N]

One thread each. The processors of transformers get the picture as the camera gives it and resize
to the same fixed geometry: Pillow's (what parity is held against) and torch's fast one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from msgspec import structs

sys.path.insert(0, str(Path(__file__).parents[2]))

from transformers import Qwen2VLImageProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from neon_edge.backbones.qwen_reference import resized
from neon_edge.engine.manifest import ImageGeometry
from neon_edge.features.preprocess import Preprocessor
from tests.features.test_preprocess import MEAN, STD
from tests.tiny_backbone import street

GEOMETRY = ImageGeometry(224, 224, 14, 2, 2, MEAN, STD)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    wide = street()[2]
    tall = np.ascontiguousarray(np.concatenate([wide, wide[:208]]))
    for picture in (wide, tall):
        out = np.empty((GEOMETRY.patches, GEOMETRY.patch_width), np.float32)
        exact = Preprocessor(GEOMETRY)
        soft = Preprocessor(structs.replace(GEOMETRY, exact=False))
        bounds = {"shortest_edge": 224 * 224, "longest_edge": 224 * 224}
        pillow = Qwen2VLImageProcessorPil()
        fast = Qwen2VLImageProcessor(size=bounds)
        ways: dict[str, Callable[[], object]] = {
            "ours, exact": lambda: exact.fill(picture, out),  # noqa: B023
            "ours, exact = false": lambda: soft.fill(picture, out),  # noqa: B023
            "transformers, Pillow": lambda: pillow(resized(picture, GEOMETRY), return_tensors="np"),  # noqa: B023
            "transformers, torch": lambda: fast(picture, return_tensors="pt"),  # noqa: B023
        }
        print(f"{picture.shape[1]}x{picture.shape[0]} to 224x224, {rounds} rounds")
        for name, p50 in interleaved(ways, rounds).items():
            print(f"  {name:24} p50 {p50:7.3f} ms")


def interleaved(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each, CPU contention shared fairly."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 5):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            took[name].append((time.perf_counter() - begun) * 1e3)
    return {name: float(np.median(times[5:])) for name, times in took.items()}


if __name__ == "__main__":
    main()
