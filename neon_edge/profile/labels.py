"""What the stages of a run are called where people read of them, and in which order."""

from __future__ import annotations

LABELS = {
    "capture": "capture",
    "preprocess": "preprocess",
    "backbone": "backbone",
    "publish": "publish",
    "read": "  read",
    "slot": "  features",
    "heads": "  heads",
    "safety": "  safety",
    "write": "  encode + write",
    "tick": "tick",
}
ORDER = ("capture", "preprocess", "backbone", "publish")
TICK_ORDER = ("tick", "read", "slot", "heads", "safety", "write")
