"""Rows of the rings → messages of a recording: JSON for people's tools, the rows' bytes for replay.

JSON is rounded and reads by joint name; the rows' own bytes beside it are exact.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from neon_edge.config.sensors import LiveSensor
from neon_edge.runtime.events import Event
from neon_edge.runtime.observed import TICKS
from neon_edge.safety.watch import Cause
from neon_edge.telemetry.mapped import Fields, Rows, fields_text
from neon_edge.telemetry.recording import Channel, Message
from neon_edge.types import Rung

ROWS = "/neon_edge/rows"
POOLED = "/neon_edge/pooled"
SWAPS = "/neon_edge/swaps"
DIGITS = 6
SHORT = 64
"""Numbers of a sensor that people may want to plot; longer readings are in the rows only."""

_LEVELS = {logging.DEBUG: 1, logging.INFO: 2, logging.WARNING: 3, logging.ERROR: 4}
"""Of foxglove.Log (foxglove-sdk `schemas/jsonschema/Log.json`)."""
_NUMBER = {"type": "number"}
_TICK = ("lateness_us", "read_us", "slot_us", "heads_us", "safety_us", "write_us", "tick_us")
_PASS = ("capture_ms", "preprocess_ms", "backbone_ms", "publish_ms")


def channels(joints: Sequence[str], observed: Fields, pooled: Fields) -> list[Channel]:
    """Every topic of a recording."""
    named = _object({joint: _NUMBER for joint in joints})
    base = _object(dict.fromkeys(("forward", "sideways", "turn"), _NUMBER))
    text = {"type": "string"}
    shapes: dict[str, dict[str, Any]] = {
        "/joints": dict.fromkeys(("position", "velocity", "torque", "age_ms"), named),
        "/setpoint": {"position": named, "base_velocity": base},
        "/command": {"position": named, "base_velocity": base, "rung": text},
        "/tick": dict.fromkeys(("number", *_TICK, "clipped", "sent"), _NUMBER)
        | {"rung": text, "cause": text},
        "/features": dict.fromkeys(("sequence", "norm", "largest"), _NUMBER)
        | {"instruction_id": text, "model_hash": text},
        "/pass": dict.fromkeys(("sequence", *_PASS), _NUMBER),
        "/event": {
            "timestamp": _object({"sec": {"type": "integer"}, "nsec": {"type": "integer"}}),
            "level": {"type": "integer"},
            **dict.fromkeys(("message", "name", "file"), text),
            "line": {"type": "integer"},
        },
    }
    texts = {"type": "array", "items": text}
    shapes["/frames"] = {"bus": text, "sent": {"type": "boolean"}, "frames": texts, "bytes": texts}
    shapes["/sensors"] = {"age_ms": {"type": "object"}, "values": {"type": "object"}}
    shapes["/base"] = {"velocity": base, "age_ms": _NUMBER}
    shapes[SWAPS] = {"number": {"type": "integer"}, "place": {"type": "integer"}}
    known = {"/event": "foxglove.Log"}
    made = [
        Channel(topic, known.get(topic, f"neon_edge.{topic[1:]}"), _object(shape))
        for topic, shape in shapes.items()
    ]
    for topic, fields in ((ROWS, observed), (POOLED, pooled)):
        made.append(Channel(topic, "", None, {"fields": fields_text(fields)}))
    return made


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _json(topic: str, at_ns: int, content: dict[str, Any]) -> Message:
    return Message(topic, at_ns, msgspec.json.encode(content))


def from_observed(rows: Rows, joints: Sequence[str]) -> Iterator[Message]:
    """What was measured, wanted and commanded, and every row as it is."""
    arrays = {
        name: np.round(rows[name].astype(np.float64), DIGITS).tolist()
        for name in ("position", "velocity", "torque", "wanted", "wanted_base",
                     "command_position", "command_base", "base")
    }  # fmt: skip
    ages = np.round((rows["at_ns"][:, None] - rows["received_ns"]) / 1e6, 3).tolist()

    def named(name: str, at: int) -> dict[str, float]:
        return dict(zip(joints, arrays[name][at], strict=True))

    for at, row in enumerate(rows):
        at_ns = int(row["at_ns"])
        yield Message(ROWS, at_ns, row.tobytes())
        if row["kind"] not in TICKS:
            continue
        state: dict[str, Any] = {
            name: named(name, at) for name in ("position", "velocity", "torque")
        }
        state["age_ms"] = dict(zip(joints, ages[at], strict=True))
        yield _json("/joints", at_ns, state)
        if row["base_ns"] >= 0:
            age_ms = round((at_ns - int(row["base_ns"])) / 1e6, 3)
            yield _json("/base", at_ns, {"velocity": _base(arrays["base"][at]), "age_ms": age_ms})
        if row["has_setpoint"]:
            base = _base(arrays["wanted_base"][at])
            wanted = {"position": named("wanted", at), "base_velocity": base}
            yield _json("/setpoint", at_ns, wanted)
        command = {
            "rung": Rung(int(row["rung"])).name.lower(),
            "position": named("command_position", at),
            "base_velocity": _base(arrays["command_base"][at]),
        }
        yield _json("/command", at_ns, command)


def from_sensors(rows: Rows, sensors: Sequence[LiveSensor]) -> Iterator[Message]:
    """How old each live sensor's reading was, and what it said where that is short."""
    if not sensors:
        return
    ends = np.cumsum([sensor.size for sensor in sensors]).tolist()
    for row in rows[np.isin(rows["kind"], TICKS)]:
        at_ns = int(row["at_ns"])
        ages, values = {}, {}
        for sensor, end, heard_ns in zip(sensors, ends, row["sensors_ns"].tolist(), strict=True):
            ages[sensor.name] = round((at_ns - heard_ns) / 1e6, 3) if heard_ns else None
            if sensor.size <= SHORT:
                said = row["sensor_values"][end - sensor.size : end].astype(np.float64)
                values[sensor.name] = np.round(said, DIGITS).tolist()
        yield _json("/sensors", at_ns, {"age_ms": ages, "values": values})


def _base(velocity: list[float]) -> dict[str, float]:
    return dict(zip(("forward", "sideways", "turn"), velocity, strict=True))


def from_pooled(rows: Rows) -> Iterator[Message]:
    """Each pass's features, as they are and in short."""
    for row in rows:
        at_ns = int(row["published_ns"])
        yield Message(POOLED, at_ns, row.tobytes())
        content = {
            "sequence": int(row["sequence"]),
            "norm": round(float(np.linalg.norm(row["pooled"])), DIGITS),
            "largest": round(float(np.abs(row["pooled"]).max()), DIGITS),
            "instruction_id": f"{int(row['instruction_id']):x}",
            "model_hash": f"{int(row['model_hash']):016x}",
        }
        yield _json("/features", at_ns, content)


def from_ticks(rows: Rows) -> Iterator[Message]:
    """When each tick ran, how long its stages took, and where the robot stood."""
    late = (rows["start_ns"] - rows["due_ns"]) / 1e3
    whole = (rows["end_ns"] - rows["start_ns"]) / 1e3
    for at, row in enumerate(rows):
        parts = {name: int(row[f"{name[:-3]}_ns"]) / 1e3 for name in _TICK[1:-1]}
        content = {
            "number": int(row["number"]),
            "lateness_us": float(late[at]),
            **parts,
            "tick_us": float(whole[at]),
            "clipped": int(row["clipped"]),
            "sent": int(row["sent"]),
            "rung": Rung(int(row["rung"])).name.lower(),
            "cause": Cause(int(row["cause"])).name.lower(),
        }
        yield _json("/tick", int(row["start_ns"]), content)


def from_passes(rows: Rows) -> Iterator[Message]:
    """How long each backbone pass took."""
    for row in rows:
        content = {name: int(row[f"{name[:-3]}_ns"]) / 1e6 for name in _PASS}
        ended_ns = int(row["captured_ns"]) + sum(int(row[f"{name[:-3]}_ns"]) for name in _PASS)
        yield _json("/pass", ended_ns, {"sequence": int(row["sequence"]), **content})


def from_events(events: Sequence[Event]) -> Iterator[Message]:
    """What happened, as Foxglove's log panel shows it."""
    for event in events:
        seconds, rest = divmod(event.at_ns, 1_000_000_000)
        content = {
            "timestamp": {"sec": seconds, "nsec": rest},
            "level": _LEVELS.get(event.level, 0),
            "message": event.text,
            "name": "neon-edge",
            "file": "",
            "line": 0,
        }
        yield _json("/event", event.at_ns, content)


def from_swaps(orders: Sequence[tuple[int, Struct]]) -> Iterator[Message]:
    """Heads that were to take another's place, and when that was asked: what replay opens."""
    for at_ns, order in orders:
        yield Message(SWAPS, at_ns, msgspec.json.encode(order))
