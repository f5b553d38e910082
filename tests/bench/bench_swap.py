"""What swapping a head costs the tick: the second behind each order against all other ticks.

    python -m tests.bench.bench_swap PLANS [OTHER] [--swaps 4]

One run of the simulated robot, both halves of the comparison in it. The bar: no tick missed.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from neon_edge.telemetry.recording import Recorded
from neon_edge.types import Rung
from tests.bench.judged import arguments, judged
from tests.cli.live import Live, wait_s
from tests.conftest import neon_edge

SECOND_NS = 1_000_000_000


def recorded(plans: Path, other: Path, swaps: int, path: Path) -> None:
    """A run with so many swaps, there and back."""
    live = Live(plans, "--record", str(path))
    try:
        live.until_ticking()
        live.until(Rung.RUN)
        wait_s(4)
        for number in range(swaps):
            wanted = str(plans if number % 2 else other)
            asked = neon_edge("swap", wanted, "--ramp", "0.5", "--socket", str(live.directory))
            if asked.returncode:
                raise SystemExit(asked.stderr)
            wait_s(1.5)
        live.run.terminate()
        live.end()
    finally:
        live.destroy()


def main() -> int:
    """The table; 1 where a tick was missed."""
    parser = arguments(__doc__)
    parser.add_argument("plans", type=Path)
    parser.add_argument("other", type=Path, nargs="?")
    parser.add_argument("--swaps", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "run.mcap"
        plans = options.plans.resolve()
        recorded(plans, (options.other or plans).resolve(), options.swaps, path)
        messages = list(Recorded(path).messages())
    orders = [each.at_ns for each in messages if each.topic == "/neon_edge/swaps"]
    ticks = [(each.at_ns, json.loads(each.payload)) for each in messages if each.topic == "/tick"]
    at_ns = np.array([when for when, _ in ticks])
    near = np.zeros(len(ticks), dtype=bool)
    for order in orders:
        near |= (at_ns >= order) & (at_ns < order + SECOND_NS)
    spans: dict[str, dict[str, list[float]]] = {}
    table = [
        f"{len(orders)} swaps{'':16}ticks   late p50    p99    max   tick p50    p99    max  ms"
    ]
    for name, those in (("a second behind them", near), ("all others", ~near)):
        line, spans[name] = f"{name:<24}{int(those.sum()):>5}", {}
        for key in ("lateness_us", "tick_us"):
            values = np.array([tick[key] for _, tick in ticks])[those] / 1e3
            found = [float(q) for q in np.quantile(values, (0.5, 0.99, 1.0), method="higher")]
            spans[name][key] = found
            line += f"   {found[0]:>8.2f}{found[1]:>7.2f}{found[2]:>7.2f}"
        table.append(line)
    lost = int((np.diff([tick["number"] for _, tick in ticks]) - 1).sum())
    table.append(f"{lost} ticks missed")
    figures = {"swaps": len(orders), "ms_p50_p99_max": spans, "missed": lost}
    return judged(figures, table, [f"{lost} ticks missed"] if lost else [], options.json)


if __name__ == "__main__":
    raise SystemExit(main())
