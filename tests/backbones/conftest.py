"""This folder's tests use real pictures."""

from tests.tiny_fixtures import frames, pictures

__all__ = ["frames", "pictures"]
