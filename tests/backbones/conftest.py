"""This folder's tests use real pictures."""

from tests.exporter import operators_once
from tests.tiny_fixtures import frames, pictures

__all__ = ["frames", "operators_once", "pictures"]
