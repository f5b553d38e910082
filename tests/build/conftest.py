"""This folder's tests use real pictures and the exported tiny backbone."""

from tests.exporter import operators_once
from tests.tiny_fixtures import frames, pictures, tiny, tiny_recipe

__all__ = ["frames", "operators_once", "pictures", "tiny", "tiny_recipe"]
