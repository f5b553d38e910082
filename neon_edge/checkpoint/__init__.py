"""What upstream saved: configuration, action space and head networks, loaded strictly."""

from neon_edge.checkpoint.load import Checkpoint, load_checkpoint

__all__ = ["Checkpoint", "load_checkpoint"]
