"""One episode of a robot that is moved by hand: pictures, sound and joint state at one time.

No torque comes on. Rows stand on a grid of 1 / fps; one that the machine was too slow for repeats
the row before, so that nothing is dated earlier than it was seen, and is counted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from neon_edge.capture.senses import Sense
from neon_edge.clock import Clock
from neon_edge.config import RobotConfig
from neon_edge.errors import NeonEdgeError
from neon_edge.runtime.episodes.dataset import Dataset, Episode, Form
from neon_edge.runtime.episodes.limp_robot import Source, open_source
from neon_edge.runtime.sensing import Moment
from neon_edge.types import Float32

_NS = 1_000_000_000
START_NS = 200_000_000
"""Encoders take longer to open than a row may take."""


@dataclass
class Recorded:
    """What became of a recording."""

    episode: int = -1
    rows: int = 0
    repeated: int = 0
    """Rows that the machine was too slow for."""
    unanswered: int = 0
    """Rows in which some joint's state is an older one."""
    unheard_s: float = 0.0
    """Sound that is missing, as silence."""
    blind: int = 0
    """Rows whose pictures were dark or frozen."""


def record(
    robot: RobotConfig,
    root: Path,
    rows: int | None,
    fps: int,
    task: str,
    clock: Clock,
    stopped: Callable[[], bool],
    tell: Callable[[str], None],
) -> Recorded:
    """Add an episode of `rows` rows, or until `stopped`, to the dataset in `root`.

    What was recorded before an error is kept, and the error raised.
    """
    with open_source(robot, clock, fps) as (source, rate_hz):
        first = source.begin()
        names = [camera.name for camera in robot.cameras]
        sizes = [(frame.image.shape[0], frame.image.shape[1]) for frame in first.frames]
        ear = robot.microphone.name if robot.microphone is not None else ""
        form = Form(
            robot.name, robot.joint_names, dict(zip(names, sizes, strict=True)), fps, ear, rate_hz
        )
        dataset = Dataset(root, form)
        begun_ns, said = clock.now_ns() + START_NS, Recorded()
        episode = Episode(dataset, begun_ns)
        tell(f"recording episode {dataset.number}")
        try:
            _fill(episode, source, said, rows, fps, begun_ns, clock, stopped)
        except NeonEdgeError:
            with contextlib.suppress(NeonEdgeError):
                _keep(episode, task, said, rate_hz)
                tell(f"kept {said.rows} rows from before")
            raise
        except BaseException:
            episode.abandon()
            raise
        _keep(episode, task, said, rate_hz)
    return said


def _fill(
    episode: Episode,
    source: Source,
    said: Recorded,
    rows: int | None,
    fps: int,
    begun_ns: int,
    clock: Clock,
    stopped: Callable[[], bool],
) -> None:
    last: tuple[Moment, Float32] | None = None
    while (rows is None or len(episode) < rows) and not stopped():
        clock.sleep_until_ns(begun_ns + len(episode) * _NS // fps)
        newest = (clock.now_ns() - begun_ns) * fps // _NS
        while last is not None and len(episode) < min(newest, newest if rows is None else rows):
            episode.add([f.image for f in last[0].frames], last[0].stamps, last[1])
            said.repeated += 1
        if rows is not None and len(episode) >= rows:
            return
        moment, position = source.sample()
        last = (moment, position.copy())
        said.unanswered += not source.answered
        said.blind += moment.video is not Sense.THERE
        episode.add([frame.image for frame in moment.frames], moment.stamps, position)
        episode.hear(moment.sound)


def _keep(episode: Episode, task: str, said: Recorded, rate_hz: int) -> None:
    said.rows = len(episode)
    if not said.rows:
        episode.abandon()
        return
    try:
        said.episode = episode.close(task, {"repeated": said.repeated, "torque": "off"})
    except BaseException:
        episode.abandon()
        raise
    if episode.sound is not None:
        said.unheard_s = episode.sound.silent / rate_hz
