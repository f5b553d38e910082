"""Emulated motors at byte level, in an operating system process of their own."""

from neon_edge.sim.launch import Simulation, start_sim, with_channels

__all__ = ["Simulation", "start_sim", "with_channels"]
