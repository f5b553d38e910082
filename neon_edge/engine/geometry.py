"""What the host makes of pictures and sound before a backbone sees them: constants of a model."""

from __future__ import annotations

from msgspec import Struct


class ImageGeometry(Struct, frozen=True, forbid_unknown_fields=True):
    """How pictures become patches: constants of the model's own processor, fixed at build time."""

    height: int
    width: int
    patch: int
    temporal: int
    merge: int
    mean: list[float]
    std: list[float]
    count: int = 1
    """Pictures a pass: `window` a camera, cameras in the robot file's order, oldest first."""
    exact: bool = True
    """Resize bit for bit as the model's processor does; without, in float32 and much faster."""
    window: int = 1
    """Pictures a camera."""
    window_hz: float = 4.0
    """How far apart they are; the newest is always the newest."""
    video_fps: float = 0.0
    """Of a window that is one video: what its times are counted at; 0 where it is none."""

    @property
    def depth(self) -> int:
        """Frames of one camera that share their patches: a picture alone, of a video `temporal`."""
        return self.temporal if self.video_fps else 1

    @property
    def steps(self) -> int:
        """Pictures a pass, or of videos pairs of frames: what has patches and tokens of its own."""
        return self.count // self.depth

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and across one picture."""
        return self.height // self.patch, self.width // self.patch

    @property
    def patches(self) -> int:
        """Patches of one step: rows of the vision part's input."""
        down, across = self.grid
        return down * across

    @property
    def patch_width(self) -> int:
        """Numbers in one patch: RGB, every temporal slice, height by width."""
        return 3 * self.temporal * self.patch * self.patch

    @property
    def picture_tokens(self) -> int:
        """Tokens that one step takes in the sequence."""
        return self.patches // (self.merge * self.merge)


class AudioGeometry(Struct, frozen=True, forbid_unknown_fields=True):
    """How a window of sound becomes a log-mel spectrogram, and how many tokens that makes."""

    rate_hz: int
    samples: int
    """In one window."""
    mels: int
    fft: int
    """Samples in one frame of the spectrogram."""
    hop: int
    """Samples from one frame to the next."""
    tokens: int
    """That one window takes in the sequence."""

    @property
    def frames(self) -> int:
        """Columns of the spectrogram."""
        return self.samples // self.hop
