"""A run as Chrome trace JSON for Perfetto: a track a thread, arrows from a picture to its use.

Format: "Trace Event Format" (Chromium). Perfetto draws overlapping slices of one track wrongly, so
slices here are nested or apart. Times are µs from the first event, kept to the nanosecond.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from neon_edge.profile.observe import Observed
from neon_edge.runtime.events import LadderEvents
from neon_edge.runtime.report import TICK_STAGES
from neon_edge.runtime.sense_events import SenseEvents
from neon_edge.safety.watch import Cause
from neon_edge.telemetry.mapped import Rows
from neon_edge.types import Rung

Event = dict[str, Any]


class Track(NamedTuple):
    """A process and a thread in it, as Perfetto sorts and names them."""

    pid: int
    tid: int
    process_name: str
    thread_name: str


CAMERA = Track(1, 1, "backbone process", "picture waits")
BACKBONE = Track(1, 2, "backbone process", "backbone")
CONTROL = Track(2, 1, "control process", "tick")
SUPERVISOR = Track(5, 1, "supervisor process", "what it says")
PROBE = Track(3, 1, "probe: the machine at best", "wake-up")
HEADS = Track(4, 1, "heads in each placement", "heads")
TRACKS = (CAMERA, BACKBONE, CONTROL, SUPERVISOR, PROBE, HEADS)
MOST_TICKS = 20_000
"""About 30 MB of JSON: more than that no browser opens, so a longer run shows its end."""
LABELS = {"slot": "features", "write": "encode + write"}


def write_trace(path: Path, seen: Observed) -> None:
    """Write the run's last `MOST_TICKS` ticks; opens in ui.perfetto.dev."""
    left_out = max(0, len(seen.ticks) - MOST_TICKS)
    document = {
        "displayTimeUnit": "ms",
        "otherData": {"ticks left out at the beginning": left_out},
        "traceEvents": trace_events(recent(seen, MOST_TICKS)),
    }
    path.write_bytes(msgspec.json.encode(document))


def recent(seen: Observed, ticks: int) -> Observed:
    """The same with its last `ticks` only, and what happened in their time."""
    if len(seen.ticks) <= ticks:
        return seen
    cut = Observed()
    cut.placements, cut.joints, cut.sensors = seen.placements, seen.joints, seen.sensors
    cut.cameras, cut.microphone = seen.cameras, seen.microphone
    cut.ticks = seen.ticks[-ticks:]
    from_ns = int(cut.ticks["due_ns"][0])
    cut.passes = seen.passes[seen.passes["captured_ns"] >= from_ns]
    cut.wakes = seen.wakes[seen.wakes["due_ns"] >= from_ns]
    cut.trials = seen.trials[seen.trials["start_ns"] >= from_ns]
    return cut


def trace_events(seen: Observed) -> list[Event]:
    """Every event, oldest first behind the names of tracks."""
    start_ns = _first_ns(seen)
    events = [*_pictures(seen.passes), *_passes(seen.passes), *_ticks(seen.ticks)]
    events += [*_wake_ups(seen.wakes), *_trials(seen), *_flows(seen.passes, seen.ticks)]
    events += _said(seen)
    for event in events:
        event["ts"] = (event.pop("at_ns") - start_ns) / 1e3
        if "dur_ns" in event:
            event["dur"] = event.pop("dur_ns") / 1e3
    # A slice that encloses another must come before it.
    events.sort(key=lambda event: (event["ts"], -event.get("dur", 0.0)))
    return [*_names(), *events]


def _first_ns(seen: Observed) -> int:
    columns = ((seen.ticks, "due_ns"), (seen.passes, "captured_ns"), (seen.wakes, "due_ns"))
    return min((int(rows[name].min()) for rows, name in columns if len(rows)), default=0)


def _names() -> Iterator[Event]:
    for order, track in enumerate(TRACKS):
        place = {"ph": "M", "pid": track.pid, "tid": track.tid}
        yield place | {"name": "process_name", "args": {"name": track.process_name}}
        yield place | {"name": "thread_name", "args": {"name": track.thread_name}}
        yield place | {"name": "thread_sort_index", "args": {"sort_index": order}}


def _slice(track: Track, name: str, at_ns: int, end_ns: int, **args: Any) -> Event:
    place = {"ph": "X", "pid": track.pid, "tid": track.tid, "name": name, "args": args}
    return place | {"at_ns": int(at_ns), "dur_ns": max(0, int(end_ns) - int(at_ns))}


def _pictures(passes: Rows) -> Iterator[Event]:
    """From capture until the backbone took the picture, or until the next was taken."""
    nexts = np.append(passes["captured_ns"][1:], np.iinfo(np.int64).max)
    for row, next_ns in zip(passes, nexts, strict=True):
        taken_ns = int(row["captured_ns"]) + int(row["capture_ns"])
        yield _slice(
            CAMERA,
            "picture",
            row["captured_ns"],
            min(taken_ns, int(next_ns)),
            waited_ms=int(row["capture_ns"]) / 1e6,
        )


def _passes(passes: Rows) -> Iterator[Event]:
    for row in passes:
        at_ns = int(row["captured_ns"]) + int(row["capture_ns"])
        stages = [(name, int(row[f"{name}_ns"])) for name in ("preprocess", "backbone", "publish")]
        end_ns = at_ns + sum(took for _, took in stages)
        yield _slice(BACKBONE, "pass", at_ns, end_ns, sequence=int(row["sequence"]))
        yield from _in_turn(BACKBONE, at_ns, stages)


def _in_turn(track: Track, at_ns: int, stages: list[tuple[str, int]]) -> Iterator[Event]:
    for name, took_ns in stages:
        yield _slice(track, LABELS.get(name, name), at_ns, at_ns + took_ns)
        at_ns += took_ns


def _ticks(ticks: Rows) -> Iterator[Event]:
    for row in ticks:
        start_ns, end_ns = int(row["start_ns"]), int(row["end_ns"])
        seen_ns = int(row["features_ns"])
        age_ms = (start_ns - seen_ns) / 1e6 if seen_ns else None
        late_us = (start_ns - int(row["due_ns"])) / 1e3
        yield _slice(
            CONTROL,
            "tick",
            start_ns,
            end_ns,
            number=int(row["number"]),
            late_us=late_us,
            feature_age_ms=age_ms,
            rung=Rung(row["rung"]).name.lower(),
            cause=Cause(row["cause"]).name.lower(),
            clipped=int(row["clipped"]),
            sent=int(row["sent"]),
        )
        stages = [(name, int(row[f"{name}_ns"])) for name in TICK_STAGES]
        # Stages end with the tick; what lies before the first is the loop's own.
        yield from _in_turn(CONTROL, end_ns - sum(took for _, took in stages), stages)
        yield _counter("wake-up lateness", start_ns, "µs", late_us)
        if age_ms is not None:
            yield _counter("feature age", start_ns, "ms", age_ms)


def _counter(name: str, at_ns: int, unit: str, value: float) -> Event:
    return {"ph": "C", "pid": CONTROL.pid, "name": name, "at_ns": at_ns, "args": {unit: value}}


def _wake_ups(wakes: Rows) -> Iterator[Event]:
    """A slice from due to awake is the lateness itself; a new one never begins before it ends."""
    for row in wakes:
        yield _slice(PROBE, "late", row["due_ns"], row["start_ns"])


def _said(seen: Observed) -> Iterator[Event]:
    """Instants: every change of rung and of the senses, as the supervisor's log has them."""
    senses = SenseEvents(seen.cameras, seen.microphone)
    ladder = LadderEvents(seen.joints, seen.sensors)
    for event in (*ladder.seen_in(seen.ticks), *senses.seen_in(seen.passes)):
        place = {"ph": "i", "s": "t", "pid": SUPERVISOR.pid, "tid": SUPERVISOR.tid}
        yield place | {"name": event.text, "at_ns": event.at_ns}


def _trials(seen: Observed) -> Iterator[Event]:
    names = [place.name for place in seen.placements if place.plans]
    for row in seen.trials:
        new = bool(row["new"])
        name = names[row["placement"]]
        yield _slice(HEADS, f"heads on {name}", row["start_ns"], row["end_ns"], new_features=new)


def _flows(passes: Rows, ticks: Rows) -> Iterator[Event]:
    """Picture → publish → heads → write, of the first tick that acted on each picture."""
    first: dict[int, np.void] = {}
    for row in ticks:
        first.setdefault(int(row["features_ns"]), row)
    for number, row in enumerate(passes, 1):
        tick = first.get(int(row["captured_ns"]))
        if tick is None or not row["sequence"]:
            continue
        stages = ("capture", "preprocess", "backbone")
        published_ns = int(row["captured_ns"]) + sum(int(row[f"{name}_ns"]) for name in stages)
        write_ns = int(tick["end_ns"]) - int(tick["write_ns"])
        heads_ns = write_ns - int(tick["safety_ns"]) - int(tick["heads_ns"])
        yield _flow("s", CAMERA, number, int(row["captured_ns"]))
        yield _flow("t", BACKBONE, number, published_ns)
        yield _flow("t", CONTROL, number, heads_ns)
        yield _flow("f", CONTROL, number, write_ns)


def _flow(phase: str, track: Track, number: int, at_ns: int) -> Event:
    place = {"pid": track.pid, "tid": track.tid, "name": "picture to motors", "cat": "features"}
    # "bp": "e" binds to the slice that encloses this instant, not to the next one.
    return place | {"ph": phase, "id": number, "at_ns": at_ns, "bp": "e"}
