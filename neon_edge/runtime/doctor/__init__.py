"""Everything that must be true of this machine before a robot runs on it, each with its fix."""
