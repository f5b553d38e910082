"""What a run remembers: rings of rows, order statistics, and messages for people."""
