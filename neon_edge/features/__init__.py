"""Stage 2: what the robot sees and is told → pooled features, and the slot they travel through."""
