"""neon-edge runs a frozen multimodal backbone and small action heads on a robot."""

__version__ = "0.1.0"
