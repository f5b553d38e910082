"""Counts of a run for Prometheus: text over HTTP from the supervisor, when somebody asks for it.

Text exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats). Off unless an
address is given, on loopback unless another is named.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import numpy.typing as npt

from neon_edge import __version__
from neon_edge.engine.manifest import Manifest
from neon_edge.errors import UsageWrong
from neon_edge.safety.watch import Cause
from neon_edge.telemetry.mapped import Rows
from neon_edge.telemetry.stats import Missed
from neon_edge.types import Rung

LOOPBACK = "127.0.0.1"
CONTENT = "text/plain; version=0.0.4; charset=utf-8"
_FINE = (5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2)
_COARSE = (1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Histogram:
    """Counts of seconds in buckets with these upper bounds, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = np.array(bounds)
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0

    def add(self, nanoseconds: npt.NDArray[np.int64]) -> None:
        """Count (n,) durations."""
        seconds = nanoseconds / 1e9
        places = np.searchsorted(self._bounds, seconds, side="left")
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sum += float(seconds.sum())

    def lines(self, name: str) -> Iterator[str]:
        """As Prometheus reads it: counts up to each bound, not between two."""
        upto = np.cumsum(self._counts)
        for bound, count in zip([*map(repr, self._bounds.tolist()), "+Inf"], upto, strict=True):
            yield f'{name}_bucket{{le="{bound}"}} {count}'
        yield f"{name}_sum {self._sum!r}"
        yield f"{name}_count {upto[-1]}"


class Metrics:
    """What has been counted; `look` and `text` may come from different threads."""

    def __init__(self, about: Mapping[str, str]) -> None:
        self._about = dict(about)
        self._lock = threading.Lock()
        self._rungs = dict.fromkeys(Rung, 0)
        self._causes = dict.fromkeys(Cause, 0)
        self._sums = {"missed_ticks": 0, "clipped_ticks": 0, "joint_commands_sent": 0}
        self._gauges: dict[str, float] = {}
        self._missed = Missed()
        self._histograms = {
            "lateness_seconds": Histogram(_FINE),
            "tick_seconds": Histogram(_FINE),
            "feature_age_seconds": Histogram(_COARSE),
            "backbone_seconds": Histogram(_COARSE),
        }

    def look(self, ticks: Rows, passes: Rows, gauges: Mapping[str, float]) -> None:
        """Count new rows of the rings; `gauges` are as they are now."""
        with self._lock:
            self._gauges = dict(gauges)
            if len(passes):
                self._histograms["backbone_seconds"].add(passes["backbone_ns"])
            if len(ticks) == 0:
                return
            for rung in Rung:
                self._rungs[rung] += int((ticks["rung"] == rung).sum())
            for cause in Cause:
                self._causes[cause] += int((ticks["cause"] == cause).sum())
            self._gauges["rung"] = int(ticks["rung"][-1])
            self._count(ticks)

    def _count(self, ticks: Rows) -> None:
        self._missed.add(ticks)
        self._sums["missed_ticks"] = self._missed.total
        self._sums["clipped_ticks"] += int((ticks["clipped"] > 0).sum())
        self._sums["joint_commands_sent"] += int(ticks["sent"].sum())
        fed = ticks[ticks["features_ns"] > 0]
        self._histograms["lateness_seconds"].add(ticks["start_ns"] - ticks["due_ns"])
        self._histograms["tick_seconds"].add(ticks["end_ns"] - ticks["start_ns"])
        self._histograms["feature_age_seconds"].add(fed["start_ns"] - fed["features_ns"])

    def text(self) -> str:
        """Everything, in the exposition format."""
        with self._lock:
            return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        labels = ",".join(f'{name}="{_escaped(text)}"' for name, text in self._about.items())
        yield from _family("neon_edge_run", "gauge", "What runs.", [f"{{{labels}}} 1"])
        yield from _family(
            "neon_edge_ticks_total", "counter", "Ticks by rung of the ladder.",
            [f'{{rung="{rung.name.lower()}"}} {count}' for rung, count in self._rungs.items()],
        )  # fmt: skip
        yield from _family(
            "neon_edge_causes_total", "counter", "Ticks by why the robot was not simply running.",
            [f'{{cause="{cause.name.lower()}"}} {count}' for cause, count in self._causes.items()
             if cause is not Cause.NONE],
        )  # fmt: skip
        for name, total in self._sums.items():
            yield from _family(
                f"neon_edge_{name}_total", "counter", f"{name.replace('_', ' ').capitalize()}.",
                [f" {total}"],
            )  # fmt: skip
        for name, value in self._gauges.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            title = f"{name.removesuffix('_total').replace('_', ' ').capitalize()}."
            yield from _family(f"neon_edge_{name}", kind, title, [f" {value!r}"])
        for name, histogram in self._histograms.items():
            full = f"neon_edge_{name}"
            yield f"# HELP {full} {name.removesuffix('_seconds').replace('_', ' ').capitalize()}."
            yield f"# TYPE {full} histogram"
            yield from histogram.lines(full)


def _family(name: str, kind: str, title: str, samples: Sequence[str]) -> Iterator[str]:
    yield f"# HELP {name} {title}"
    yield f"# TYPE {name} {kind}"
    for sample in samples:
        yield name + sample


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def about(manifest: Manifest, robot: str) -> dict[str, str]:
    """Labels that say what runs."""
    return {
        "robot": robot,
        "version": __version__,
        "backbone": manifest.backbone.model_id,
        "heads": manifest.heads.head_type,
        "engine": manifest.machine.engine if manifest.machine else "",
    }


@contextmanager
def served(given: str | None, labels: Mapping[str, str]) -> Iterator[Metrics | None]:
    """Metrics on the address `given`, for as long as the block lasts; None where none is."""
    if given is None:
        yield None
        return
    metrics = Metrics(labels)
    server = MetricsServer(metrics, address_of(given))
    try:
        yield metrics
    finally:
        server.close()


def address_of(given: str) -> tuple[str, int]:
    """HOST:PORT, :PORT or PORT; loopback where no host is named. Raises `UsageWrong`."""
    host, _, port = given.rpartition(":")
    if not port.isdigit() or not 0 <= int(port) < 1 << 16:
        raise UsageWrong("not an address", repr(given), "give PORT or HOST:PORT")
    return host.strip("[]") or LOOPBACK, int(port)


class MetricsServer:
    """Serves GET /metrics from a thread of the supervisor. Raises `UsageWrong` for a taken port."""

    def __init__(self, metrics: Metrics, address: tuple[str, int]) -> None:
        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.path.split("?")[0] == "/metrics"
                body = (metrics.text() if known else "see /metrics\n").encode()
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", CONTENT)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """A scrape is no event."""

        try:
            self._server = ThreadingHTTPServer(address, Page)
        except OSError as failure:
            raise UsageWrong(
                "metrics cannot be served there",
                f"{address[0]}:{address[1]}: {failure.strerror}",
                "name another port: --metrics PORT",
            ) from None
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens; the system's choice where 0 was given."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
