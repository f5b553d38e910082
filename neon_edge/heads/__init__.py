"""Stage 3: pooled features and proprioception → what the robot should be at now."""
