"""What makes a machine busy: processes that never rest, a clip that never lets a backbone rest."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
CLIP_HZ = 250
CLIP_FRAMES = 250


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that use all the CPU they are given."""
    spin = "while True: pass"
    children = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(count)]
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def quick_clip(path: Path) -> None:
    """A clip with a new picture every 4 ms: a backbone that follows it runs flat out."""
    import av

    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=CLIP_HZ)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(CLIP_FRAMES):
            image = random.integers(0, 255, (64, 96, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())


def robot_at(rate_hz: float, clip: Path, path: Path) -> None:
    """The simulated robot's file at another rate, looking at `clip`."""
    text = (ROOT / "neon_edge" / "robots" / "sim.toml").read_text(encoding="utf-8")
    text = re.sub(r"^rate_hz = .*$", f"rate_hz = {rate_hz}", text, flags=re.MULTILINE)
    path.write_text(re.sub(r'"package:[^"]*"', f'"{clip}"', text), encoding="utf-8")


class Cyclictest:
    """Debian's cyclictest (rt-tests) at one priority and period, and what it found, µs."""

    def __init__(self, priority: int, period_us: int, seconds: float) -> None:
        self._child = subprocess.Popen(
            [str(shutil.which("cyclictest")), "-m", "-q", "-t1", f"-p{priority}",
             f"-i{period_us}", f"-D{max(1, round(seconds))}", "-h200000"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def result(self) -> dict[str, float] | None:
        """p50, p99.9 and worst; None where it could not run."""
        out, _ = self._child.communicate()
        counts = np.array(re.findall(r"^(\d{6}) (\d{6})$", out, re.MULTILINE), dtype=np.int64)
        worst = re.search(r"# Max Latencies: (\d+)", out)
        if not len(counts) or worst is None:
            return None
        late = np.repeat(counts[:, 0], counts[:, 1])
        p50, p999 = np.percentile(late, [50, 99.9]) if len(late) else (0.0, 0.0)
        return {"p50": float(p50), "p999": float(p999), "max": float(worst[1])}


def have_cyclictest() -> bool:
    """Whether it is installed."""
    return shutil.which("cyclictest") is not None
