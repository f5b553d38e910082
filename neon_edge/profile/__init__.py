"""What a run is held to, and how it is shown."""
