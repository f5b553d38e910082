"""The trace: slices on a track are nested or apart, and every arrow starts and ends in one."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from neon_edge.capture.senses import Sense
from neon_edge.profile.trace import SUPERVISOR, recent, trace_events, write_trace
from tests.profile.runs import observed

Event = dict[str, Any]


@pytest.fixture(scope="module", params=range(4))
def events(request: pytest.FixtureRequest) -> list[Event]:
    return trace_events(observed(request.param))


def slices(events: list[Event]) -> dict[tuple[int, int], list[tuple[int, int, str]]]:
    """By track: (begin, end, name) in whole ns, in the order of the file."""
    tracks: dict[tuple[int, int], list[tuple[int, int, str]]] = {}
    for event in events:
        if event["ph"] == "X":
            begin = round(event["ts"] * 1e3)
            end = begin + round(event["dur"] * 1e3)
            tracks.setdefault((event["pid"], event["tid"]), []).append((begin, end, event["name"]))
    return tracks


def test_slices_of_a_track_are_strictly_nested(events: list[Event]) -> None:
    for track, spans in slices(events).items():
        open_until: list[int] = []
        for begin, end, name in spans:
            while open_until and open_until[-1] <= begin:
                open_until.pop()
            assert not open_until or end <= open_until[-1], (track, name, begin)
            open_until.append(end)


def test_a_tick_holds_its_five_stages_one_behind_another(events: list[Event]) -> None:
    spans = slices(events)[2, 1]
    assert len(spans) == 200 * 6
    for at in range(0, len(spans), 6):
        tick, *stages = spans[at : at + 6]
        assert [name for *_, name in stages] == [
            "read", "features", "heads", "safety", "encode + write",
        ]  # fmt: skip
        assert all(one[1] == two[0] for one, two in itertools.pairwise(stages))
        assert (tick[2], tick[1]) == ("tick", stages[-1][1])


def test_every_arrow_goes_from_a_picture_to_the_first_write_that_used_it(
    events: list[Event],
) -> None:
    arrows: dict[int, list[Event]] = {}
    for event in events:
        if event["ph"] in "stf":
            arrows.setdefault(event["id"], []).append(event)
    spans = slices(events)
    ages = [e for e in events if e["ph"] == "C" and e["name"] == "feature age"]
    assert len(arrows) >= 15
    assert 8 not in arrows  # the pass that published nothing
    for steps in arrows.values():
        assert [step["ph"] for step in steps] == ["s", "t", "t", "f"]
        names = []
        for step in steps:
            at = round(step["ts"] * 1e3)
            inside = [
                (begin, name)
                for begin, end, name in spans[step["pid"], step["tid"]]
                if begin <= at < end
            ]
            assert inside, step
            names.append(max(inside)[1])
        assert names == ["picture", "publish", "heads", "encode + write"]
    assert ages


def test_no_earlier_tick_used_the_picture(events: list[Event]) -> None:
    starts = {e["id"]: e["ts"] for e in events if e["ph"] == "s"}
    ends = {e["id"]: e["ts"] for e in events if e["ph"] == "f"}
    ticks = [e for e in events if e["ph"] == "X" and e["name"] == "tick"]
    for number, taken in starts.items():
        used = [
            tick["ts"] + tick["dur"]
            for tick in ticks
            if tick["args"]["feature_age_ms"] is not None
            and abs(tick["ts"] - tick["args"]["feature_age_ms"] * 1e3 - taken) < 0.01
        ]
        assert min(used) > ends[number]
        assert all(end >= min(used) for end in used)
        assert ends[number] > min(used) - 1000


def test_every_track_has_a_name_and_the_file_is_json(tmp_path: Path) -> None:
    write_trace(tmp_path / "trace.json", observed())
    document = json.loads((tmp_path / "trace.json").read_text())
    events = document["traceEvents"]
    named = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    assert {(e["pid"], e["tid"]) for e in events if "tid" in e and e["ph"] != "M"} <= named
    assert all(e["ts"] >= 0 for e in events if "ts" in e)


def test_what_the_supervisor_says_stands_where_it_became_true() -> None:
    seen = observed()
    seen.passes["video"][5:8] = Sense.DARK
    seen.cameras = ["head"]
    first_ns = min(seen.ticks["due_ns"].min(), seen.passes["captured_ns"].min())
    said = [event for event in trace_events(seen) if event["ph"] == "i"]
    assert {(event["pid"], event["tid"]) for event in said} == {SUPERVISOR[:2]}
    told = {event["name"]: round(event["ts"] * 1e3) + first_ns for event in said}
    assert told == {
        "camera head is dark": seen.passes["captured_ns"][5],
        "camera head is back": seen.passes["captured_ns"][8],
        "hold: features old, tick 100": seen.ticks["start_ns"][100],
        "run, tick 110": seen.ticks["start_ns"][110],
    }


def test_a_long_run_shows_its_end_and_arrows_still_resolve() -> None:
    cut = recent(observed(), 50)
    events = trace_events(cut)
    assert sum(event["name"] == "tick" for event in events) == 50
    assert cut.ticks["number"][-1] == observed().ticks["number"][-1]
    assert 0 <= min(event["ts"] for event in events if "ts" in event) < 1000
    phases = [event["ph"] for event in events if event["ph"] in "sf"]
    assert phases.count("s") == phases.count("f") > 0
    assert recent(observed(), 200).ticks.shape == (200,)


Kinds = dict[str, type | tuple[type, ...]]
FLOW: Kinds = {
    "ts": (int, float), "pid": int, "tid": int, "name": str, "cat": str, "id": int,
}  # fmt: skip
REQUIRED: dict[str, Kinds] = {
    "X": {"ts": (int, float), "dur": (int, float), "pid": int, "tid": int, "name": str},
    "C": {"ts": (int, float), "pid": int, "name": str, "args": dict},
    "M": {"pid": int, "name": str, "args": dict},
    "i": {"ts": (int, float), "pid": int, "tid": int, "name": str, "s": str},
    "s": FLOW,
    "t": FLOW,
    "f": FLOW,
}
"""By phase, what "Trace Event Format" (Chromium) asks for and Perfetto's JSON importer reads."""
NAMED = {
    "process_name": "name", "thread_name": "name", "process_sort_index": "sort_index",
    "thread_sort_index": "sort_index",
}  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_every_event_is_one_of_the_trace_event_format(tmp_path: Path, seed: int) -> None:
    write_trace(tmp_path / "trace.json", observed(seed))
    document = json.loads((tmp_path / "trace.json").read_text())
    assert document["displayTimeUnit"] in ("ms", "ns")
    flows: dict[tuple[str, str, int], list[Event]] = {}
    metadata: set[tuple[int, int, str]] = set()
    for event in document["traceEvents"]:
        required = REQUIRED[event["ph"]]
        for key, kind in required.items():
            assert isinstance(event[key], kind), event
            assert not isinstance(event[key], bool), event
        assert event.get("ts", 0) >= 0, event
        assert event.get("dur", 0) >= 0, event
        assert "dur" not in event or event["ph"] == "X", event
        if event["ph"] == "M":
            assert NAMED[event["name"]] in event["args"], event
            metadata.add((event["pid"], event["tid"], event["name"]))
        elif event["ph"] == "C":
            assert event["args"], event
            assert all(type(value) in (int, float) for value in event["args"].values()), event
        elif event["ph"] == "i":
            assert event["s"] == "t", event  # of its thread's track
        elif event["ph"] in "stf":
            flows.setdefault((event["cat"], event["name"], event["id"]), []).append(event)
    used = {(e["pid"], e["tid"]) for e in document["traceEvents"] if e["ph"] in "iXstf"}
    for pid, tid in used:
        assert {(pid, tid, "process_name"), (pid, tid, "thread_name")} <= metadata
    assert flows
    for steps in flows.values():
        # A flow is one beginning, steps, one end, in time; its end binds to what encloses it.
        assert [step["ph"] for step in steps] == ["s", *"t" * (len(steps) - 2), "f"]
        assert [step["ts"] for step in steps] == sorted(step["ts"] for step in steps)
        assert steps[-1]["bp"] == "e"
