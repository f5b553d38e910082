"""Metrics as Prometheus's own parser reads them, and who may read them."""

from __future__ import annotations

import contextlib
import re
import socket
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as TheirHistogram
from prometheus_client.parser import text_string_to_metric_families

from neon_edge.errors import UsageWrong
from neon_edge.runtime.metrics import Histogram, Metrics, MetricsServer, address_of
from neon_edge.safety.watch import Cause
from neon_edge.telemetry.mapped import Rows, row_dtype
from neon_edge.telemetry.ring import PassRing, TickRing
from neon_edge.types import Rung
from tests.cli.live import Live, wait_s

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
LABELS = {"robot": 'the "left" arm\\\n', "version": "1"}


def parsed(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"neon_edge_{name}", frozenset(labels.items())]


def ticks(numbers: list[int], rung: Rung = Rung.RUN, cause: Cause = Cause.NONE) -> Rows:
    rows = np.zeros(len(numbers), row_dtype(TickRing.FIELDS))
    rows["number"], rows["rung"], rows["cause"], rows["sent"] = numbers, rung, cause, 29
    rows["due_ns"] = 10**9 + 20_000_000 * np.array(numbers)
    rows["start_ns"] = rows["due_ns"] + 150_000
    rows["end_ns"] = rows["start_ns"] + 1_500_000
    rows["features_ns"] = rows["start_ns"] - 300_000_000
    return rows


NO_PASSES = np.zeros(0, row_dtype(PassRing.FIELDS))


def test_counts_are_what_the_rows_say() -> None:
    metrics = Metrics(LABELS)
    metrics.look(ticks([0, 1, 2]), NO_PASSES, {"backbone_restarts_total": 0})
    metrics.look(ticks([5, 6], Rung.HOLD, Cause.FEATURES_OLD), NO_PASSES, {})
    metrics.look(ticks([0, 1]), NO_PASSES, {"backbone_restarts_total": 2})  # started again
    found = parsed(metrics.text())
    assert value(found, "ticks_total", rung="run") == 5
    assert value(found, "ticks_total", rung="hold") == 2
    assert value(found, "causes_total", cause="features_old") == 2
    assert value(found, "missed_ticks_total") == 2
    assert value(found, "joint_commands_sent_total") == 7 * 29
    assert value(found, "backbone_restarts_total") == 2
    assert value(found, "rung") == Rung.RUN
    assert value(found, "lateness_seconds_count") == 7
    assert value(found, "lateness_seconds_bucket", le="0.0001") == 0
    assert value(found, "lateness_seconds_bucket", le="0.0002") == 7
    assert value(found, "feature_age_seconds_sum") == pytest.approx(2.1)
    assert value(found, "run", **LABELS) == 1


def test_histograms_equal_those_of_prometheus_itself() -> None:
    bounds = (0.001, 0.01, 0.1)
    random = np.random.default_rng(3)
    values = np.concatenate([random.exponential(2e7, 500).astype(np.int64), [1_000_000, 10**7]])
    ours, registry = Histogram(bounds), CollectorRegistry()
    theirs = TheirHistogram("neon_edge_x", "x", buckets=bounds, registry=registry)
    for part in np.array_split(values, 7):
        ours.add(part)
    for nanoseconds in values:
        theirs.observe(nanoseconds / 1e9)
    text = "# TYPE neon_edge_x histogram\n" + "\n".join(ours.lines("neon_edge_x")) + "\n"
    found = parsed(text)
    for bound in ("0.001", "0.01", "0.1", "+Inf"):
        assert value(found, "x_bucket", le=bound) == registry.get_sample_value(
            "neon_edge_x_bucket", {"le": bound}
        )
    assert value(found, "x_sum") == pytest.approx(registry.get_sample_value("neon_edge_x_sum"))


@pytest.mark.parametrize(
    ("given", "meant"),
    [("9100", ("127.0.0.1", 9100)), (":9100", ("127.0.0.1", 9100)), ("0.0.0.0:0", ("0.0.0.0", 0))],
)
def test_loopback_unless_another_is_named(given: str, meant: tuple[str, int]) -> None:
    assert address_of(given) == meant


@pytest.mark.parametrize("given", ["", "x", "host:", "1:2:port", "70000"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(UsageWrong, match="not an address"):
        address_of(given)


def test_one_page_and_nothing_else_is_served() -> None:
    server = MetricsServer(Metrics({"robot": "sim"}), address_of("0"))
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as page:
            assert page.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert value(parsed(page.read().decode()), "run", robot="sim") == 1
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/etc/passwd")
        with pytest.raises(UsageWrong, match="cannot be served"):
            MetricsServer(Metrics({}), address_of(str(server.port)))
    finally:
        server.close()


@pytest.mark.slow
def test_a_run_is_scraped_while_it_ticks(plans: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    live = Live(plans, "--metrics", str(port))
    live.until_ticking()
    wait_s(3)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        found = parsed(page.read().decode())
    live.run.terminate()
    code, _, err = live.end()
    assert code == 0, err
    assert value(found, "ticks_total", rung="run") > 50
    assert value(found, "tick_seconds_count") == sum(
        count for (name, _), count in found.items() if name == "neon_edge_ticks_total"
    )
    assert value(found, "backbone_seconds_count") > 5
    assert not re.search("Traceback", err)
