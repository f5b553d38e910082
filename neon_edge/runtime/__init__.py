"""Brings the five stages to life: three OS processes, one tick."""
