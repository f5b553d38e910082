"""What the supervisor tells its two children, in one JSON file in the run's own directory."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct, field, structs

from neon_edge.config import RobotConfig
from neon_edge.runtime.headset import HeadPlan

FILE_NAME = "run.json"
STOP_FLAG = "stop.flag"
TICKS = "ticks.ring"
CONTROL_LOG = "control.json"


class RunSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One run. Every file in `directory` belongs to it and goes with it."""

    robot: RobotConfig
    plans: str
    directory: str
    seconds: float | None = None
    backbone_threads: int = 1
    record: bool = False
    """Whether the children fill the two rings that only a recorded run has."""
    heads: list[HeadPlan] = field(default_factory=list)
    """Those that run, in the order of the robot file."""

    @property
    def path(self) -> Path:
        """Of `directory`."""
        return Path(self.directory)

    @property
    def instruction_wanted(self) -> Path:
        """A new instruction, from the supervisor to the backbone."""
        return Path(self.directory) / "instruction.wanted"

    @property
    def instruction_in_use(self) -> Path:
        """The instruction in use, from the backbone."""
        return Path(self.directory) / "instruction.in_use"

    @property
    def slot(self) -> Path:
        """The feature slot."""
        return Path(self.directory) / "features.slot"

    @property
    def ticks(self) -> Path:
        """The ring of ticks, written by the control process."""
        return Path(self.directory) / TICKS

    @property
    def passes(self) -> Path:
        """The ring of backbone passes, written by the backbone process."""
        return Path(self.directory) / "passes.ring"

    @property
    def observed(self) -> Path:
        """The ring of observations, written by the control process of a recorded run."""
        return Path(self.directory) / "observed.ring"

    @property
    def frames(self) -> Path:
        """The ring of bus frames, written by the control process of a recorded run."""
        return Path(self.directory) / "frames.ring"

    @property
    def pooled(self) -> Path:
        """The ring of pooled features, written by the backbone process of a recorded run."""
        return Path(self.directory) / "pooled.ring"

    @property
    def stop_flag(self) -> Path:
        """The e-stop input: a byte that the control process looks at every tick."""
        return Path(self.directory) / STOP_FLAG

    @property
    def arming(self) -> Path:
        """The control process's word on the last arming."""
        return Path(self.directory) / "arming.json"

    @property
    def swap_wanted(self) -> Path:
        """A head that is to take another's place, from the supervisor to the control process."""
        return Path(self.directory) / "swap.wanted"

    @property
    def swap_done(self) -> Path:
        """What came of it, from the control process."""
        return Path(self.directory) / "swap.done"

    @property
    def control_log(self) -> Path:
        """What the control process has to say besides ticks: JSON, written before and after."""
        return Path(self.directory) / CONTROL_LOG


class ControlNote(Struct, frozen=True, forbid_unknown_fields=True):
    """The control process about itself."""

    state: str
    """starting, running or stopped"""
    real_time: list[str] = []
    warnings: list[str] = []
    torn: int = 0
    foreign: int = 0
    not_finite: int = 0
    sent: list[int] = []
    """Joint commands sent, per joint, those of enabling included."""
    enabling: int = 0
    """Joint commands that enabling took, all joints together: ahead of the first tick."""
    base: dict[str, int] = {}
    """What was exchanged with the base (transport/base.py); empty where there is none."""
    pid: int = field(default_factory=os.getpid)
    """Who says so: a process that was started since says nothing yet."""


def write_spec(spec: RunSpec) -> Path:
    """Write it into its directory; returns the path."""
    path = Path(spec.directory) / FILE_NAME
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(msgspec.json.encode(spec))
    partial.replace(path)
    return path


def replaced(spec: RunSpec, place: int, plan: HeadPlan) -> RunSpec:
    """The same run with another head at `place`."""
    heads = [*spec.heads[:place], plan, *spec.heads[place + 1 :]]
    return structs.replace(spec, heads=heads)


def read_spec(path: Path) -> RunSpec:
    """Read what `write_spec` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=RunSpec)


def write_note(path: Path, note: ControlNote) -> None:
    """Replace the note whole."""
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(msgspec.json.encode(note))
    partial.replace(path)


def read_note(path: Path) -> ControlNote | None:
    """The control process's last note, or None before the first."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ControlNote)
    except FileNotFoundError:
        return None
