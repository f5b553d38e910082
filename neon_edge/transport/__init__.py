"""Stage 5: joint commands onto buses, joint state back. Nothing else in the package opens a bus."""

from neon_edge.transport.bus import Bus, BusCounters, open_bus
from neon_edge.transport.robot import Robot, open_robot

__all__ = ["Bus", "BusCounters", "Robot", "open_bus", "open_robot"]
