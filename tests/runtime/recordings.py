"""A recorded run with faults, its rows, and the same recording with something changed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import msgspec
import numpy as np

from neon_edge.config import load_robot
from neon_edge.runtime.messages import ROWS
from neon_edge.runtime.observed import observed_fields
from neon_edge.runtime.recorder import RUN
from neon_edge.telemetry.mapped import row_dtype
from neon_edge.telemetry.recording import Channel, Message, Recorded, RecordingFile
from neon_edge.types import Rung
from tests.cli.live import Live, wait_s, write_robot

JOINTS = load_robot("sim").joint_names
DTYPE = row_dtype(observed_fields(len(JOINTS)))


def record_with_faults(plans: Path, path: Path) -> None:
    """A run whose backbone dies, whose control process dies and comes back, and is re-armed."""
    # One that waits for a backbone however long a busy machine takes to start it.
    robot = load_robot("sim")
    patient = msgspec.structs.replace(robot.safety, hold_damp_after_s=0)
    file = path.with_name("patient.toml")
    write_robot(file, msgspec.structs.replace(robot, safety=patient))
    live = Live(plans, "--record", str(path), robot=str(file))
    live.until_ticking()
    wait_s(3)
    # Stopped first: a quiet machine has a killed one back before the robot need hold.
    live.hurt("neon_edge.runtime.backbone", signal.SIGSTOP)
    live.until(Rung.HOLD)
    live.hurt("neon_edge.runtime.backbone", signal.SIGKILL)
    live.until(Rung.RUN, 60)
    live.hurt("neon_edge.runtime.control", signal.SIGKILL)
    wait_s(1)
    live.until(Rung.OFF, 60)
    live.hurt("neon_edge.runtime.control", signal.SIGUSR1)
    live.until(Rung.RUN, 60)
    wait_s(2)
    live.run.terminate()
    code, out, err = live.end()
    assert code == 0, err
    assert json.loads(out)["rows_lost"] == 0
    assert f"recorded {path}" in err


def rows_of(path: Path) -> np.ndarray:
    payloads = [m.payload for m in Recorded(path).messages() if m.topic == ROWS]
    return np.frombuffer(b"".join(payloads), DTYPE)


def about_of(path: Path) -> dict[str, str]:
    source = Recorded(path)
    next(iter(source.messages()))
    return source.metadata[RUN]


def rewritten(
    path: Path,
    out: Path,
    change: dict[int, bytes],
    without: str = "",
    about: dict[str, str] | None = None,
    renames: tuple[str, str] = ("", ""),
) -> Path:
    """The recording again: some rows changed, a topic left out, other metadata, other fields."""
    source = Recorded(path)
    messages = list(source.messages())
    channels = [
        Channel(topic, "", None, {key: text.replace(*renames) for key, text in told.items()})
        for topic, told in source.channels.items()
    ]
    metadata = source.metadata | ({} if about is None else {RUN: about})
    file = RecordingFile(out, channels, metadata, 1 << 16)
    number = -1
    for message in messages:
        number += message.topic == ROWS
        if message.topic == ROWS and number in change:
            if change[number]:
                file.add(Message(ROWS, message.at_ns, change[number]))
        elif message.topic != without:
            file.add(message)
    file.close()
    return out
