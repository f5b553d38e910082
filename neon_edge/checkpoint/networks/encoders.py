"""Sensor encoders, and which sensors a configuration declares (`neon/model/neon_vla.py`)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from neon_edge.checkpoint.config import AudioSource, NeonConfig
from neon_edge.checkpoint.networks.blocks import two_layers

MELS = 80
HOP = 160


class Sensor(NamedTuple):
    """One declared sensor: our name, its module's name in the weight file, one reading's shape."""

    name: str
    module: str
    shape: tuple[int, ...]
    hidden: int
    width: int
    """Of what its encoder makes."""


class VectorEncoder(nn.Module):
    """A reading of fixed length."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.net = two_layers(inputs, hidden, 2 * hidden)

    def forward(self, reading: Tensor) -> Tensor:
        """(batch, inputs) -> (batch, 2 * hidden)."""
        encoded: Tensor = self.net(reading)
        return encoded


class PointEncoder(nn.Module):
    """A point cloud: every point alone, then the maximum over points."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.shared_mlp = nn.Sequential(
            nn.Linear(4, 64), nn.GELU(), nn.Linear(64, hidden), nn.GELU(),
            nn.Linear(hidden, hidden), nn.GELU(),
        )  # fmt: skip
        self.projection = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.GELU())

    def forward(self, points: Tensor) -> Tensor:
        """(batch, points, 4): x, y, z (m), intensity -> (batch, 2 * hidden)."""
        encoded: Tensor = self.projection(self.shared_mlp(points).amax(dim=1))
        return encoded


class TactileEncoder(nn.Module):
    """Finger links: every link alone, then the maximum over links."""

    def __init__(self, axes: int, hidden: int) -> None:
        super().__init__()
        self.per_link_mlp = two_layers(axes, hidden, hidden)
        self.projection = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.GELU())

    def forward(self, links: Tensor) -> Tensor:
        """(batch, links, axes): N and N·m -> (batch, 2 * hidden)."""
        encoded: Tensor = self.projection(self.per_link_mlp(links).amax(dim=1))
        return encoded


class PictureEncoder(nn.Module):
    """A depth map or a segmentation: three strided convolutions and the mean over the picture.

    The batch norms' running statistics are buffers, and upstream's weight file holds parameters
    only: a loaded checkpoint, upstream's too, runs with mean 0 and variance 1.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.GELU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64), nn.GELU(),
            nn.Conv2d(64, hidden, 3, stride=2, padding=1), nn.BatchNorm2d(hidden), nn.GELU(),
        )  # fmt: skip
        self.projection = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.GELU())

    def forward(self, picture: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, 2 * hidden)."""
        encoded: Tensor = self.projection(self.conv(picture).mean(dim=(2, 3)))
        return encoded


class AudioEncoder(nn.Module):
    """Speech: what an encoder made of it, pooled over time, projected.

    With Whisper the input is the mean over time of its encoder's last hidden state. The mel encoder
    is small and trained here: its input is a power mel spectrogram (80, frames), hop 10 ms.
    """

    def __init__(self, hidden: int, width: int, mel: bool) -> None:
        super().__init__()
        self.projection = nn.Sequential(nn.Linear(hidden, width), nn.GELU(), nn.LayerNorm(width))
        if mel:
            self._encoder = nn.Sequential(
                nn.Conv1d(MELS, 256, 3, padding=1), nn.GELU(),
                nn.Conv1d(256, hidden, 3, padding=1), nn.GELU(),
            )  # fmt: skip
        self.mel = mel

    def forward(self, heard: Tensor) -> Tensor:
        """(batch, hidden), or (batch, 80, frames) with mel -> (batch, width)."""
        pooled = self._encoder(heard).mean(dim=-1) if self.mel else heard
        encoded: Tensor = self.projection(pooled)
        return encoded


def declared_sensors(config: NeonConfig, picture: int) -> list[Sensor]:
    """The sensors that `config` switches on, in the order in which they are fused.

    `picture` is the side of depth maps and segmentations in pixels: upstream takes any, an engine
    has one.
    """
    classes, links = config.seg_num_classes, config.tactile_num_links
    square = (picture, picture)
    known = (
        (config.use_lidar, "lidar", "lidar", (config.lidar_points, 4), config.lidar_hidden),
        (config.use_eef, "eef", "eef", (config.eef_dim,), config.eef_hidden),
        (config.use_gps, "gps", "gps", (config.gps_dim,), config.gps_hidden),
        (config.use_depth, "depth", "depth", (1, *square), config.depth_hidden),
        (config.use_segmentation, "segmentation", "seg", (classes, *square), config.seg_hidden),
        (
            config.use_tactile,
            "tactile",
            "tactile",
            (links, config.tactile_ft_dim),
            config.tactile_hidden,
        ),
        (config.use_imu, "imu", "imu", (config.imu_dim,), config.imu_hidden),
        (config.use_force, "force", "force", (config.force_dim,), config.force_hidden),
    )
    sensors = [
        Sensor(name, f"{stem}_encoder", shape, hidden, 2 * hidden)
        for declared, name, stem, shape, hidden in known
        if declared
    ]
    if config.audio is not None and config.audio.enabled:
        sensors.insert(0, _audio(config.audio, config.pooled_width))
    return sensors


def _audio(audio: AudioSource, pooled_width: int) -> Sensor:
    hidden, width = audio.audio_hidden_size, audio.projection_dim or pooled_width
    frames = round(audio.max_audio_seconds * audio.sample_rate) // HOP + 1
    shape = (MELS, frames) if audio.encoder_type == "mel" else (hidden,)
    return Sensor("audio", "audio_encoder", shape, hidden, width)


def sensor_encoder(sensor: Sensor) -> nn.Module:
    """The encoder of one sensor. It makes (batch, width)."""
    channels = sensor.shape[0]
    match sensor.name:
        case "audio":
            return AudioEncoder(sensor.hidden, sensor.width, mel=len(sensor.shape) == 2)
        case "lidar":
            return PointEncoder(sensor.hidden)
        case "depth" | "segmentation":
            return PictureEncoder(channels, sensor.hidden)
        case "tactile":
            return TactileEncoder(sensor.shape[1], sensor.hidden)
        case _:
            return VectorEncoder(channels, sensor.hidden)
