"""Sensor encoders, and which sensors a configuration declares (`neon/model/neon_vla.py`)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from neon_edge.checkpoint.config import NeonConfig
from neon_edge.checkpoint.networks.blocks import two_layers


class Sensor(NamedTuple):
    """One declared sensor: our name, its module's name in the weight file, one reading's shape."""

    name: str
    module: str
    shape: tuple[int, ...]
    hidden: int


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
    return [
        Sensor(name, f"{stem}_encoder", shape, hidden)
        for declared, name, stem, shape, hidden in known
        if declared
    ]


def sensor_encoder(sensor: Sensor) -> nn.Module:
    """The encoder of one sensor. It makes (batch, 2 * hidden)."""
    channels = sensor.shape[0]
    match sensor.name:
        case "lidar":
            return PointEncoder(sensor.hidden)
        case "depth" | "segmentation":
            return PictureEncoder(channels, sensor.hidden)
        case "tactile":
            return TactileEncoder(sensor.shape[1], sensor.hidden)
        case _:
            return VectorEncoder(channels, sensor.hidden)
