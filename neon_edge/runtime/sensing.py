"""What the robot sees and hears now, and how its senses are: the backbone process's inputs."""

from __future__ import annotations

from typing import NamedTuple

from neon_edge.capture.camera import Camera
from neon_edge.capture.microphone import Microphone
from neon_edge.capture.senses import CameraWatch, MicrophoneWatch, Sense
from neon_edge.config.senses import Senses
from neon_edge.types import AudioWindow, CameraFrame


class Moment(NamedTuple):
    """The newest of everything; frames in the robot file's order."""

    frames: list[CameraFrame]
    """Empty until every camera has given its first."""
    sound: AudioWindow | None
    video: Sense
    """The worst of all cameras'."""
    camera: int
    """Which one that is."""
    audio: Sense
    """There where the robot has no microphone."""
    begun: bool
    """Every sense has given its first, or is known to be lost."""

    @property
    def stamps(self) -> list[int]:
        """When each frame was taken."""
        return [frame.captured_ns for frame in self.frames]

    @property
    def lacking(self) -> list[str]:
        """Modalities that show nothing of the world."""
        states = {"video": self.video, "audio": self.audio}
        return [name for name, state in states.items() if state is not Sense.THERE]


class Sensing:
    """Cameras and microphone, each with its watch."""

    def __init__(
        self, cameras: list[Camera], ear: Microphone | None, senses: Senses, patience_ns: int
    ) -> None:
        self._cameras = [(camera, CameraWatch(senses)) for camera in cameras]
        self._ear = ear
        self._ear_watch = MicrophoneWatch(senses)
        self._patience_ns = patience_ns

    def look(self, now_ns: int) -> Moment:
        """Ask everyone for the newest. Raises `DeviceMissing` where a device is gone for good."""
        seen = [(camera.newest(), watch) for camera, watch in self._cameras]
        states = [watch.look(frame, now_ns) for frame, watch in seen]
        worst = max(range(len(states)), key=lambda index: states[index], default=0)
        video = states[worst] if states else Sense.THERE
        frames = [frame for frame, _ in seen if frame is not None]
        whole = len(frames) == len(seen)
        sound, audio = None, Sense.THERE
        if self._ear is not None:
            sound = self._ear.newest()
            audio = self._ear_watch.look(sound, now_ns, self._patience_ns)
        begun = (whole or video is Sense.LOST) and (
            self._ear is None or sound is not None or audio is Sense.LOST
        )
        return Moment(frames if whole else [], sound, video, worst, audio, begun)
