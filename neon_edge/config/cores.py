"""Which cores the processes of a run may use."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Cpus = list[int] | Literal["auto", "any"]


class Runtime(Struct, frozen=True, forbid_unknown_fields=True):
    """How the run's processes share the machine."""

    cpus: Cpus = "auto"
    """The control process's cores; the backbone gets the others. "auto": the last one where there
    are more than two; "any": wherever the scheduler puts it."""
