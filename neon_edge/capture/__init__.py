"""Stage 1: what the robot sees, as camera frames with the time they were taken."""
