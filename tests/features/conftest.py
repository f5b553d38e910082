"""This folder's tests use real pictures and the exported tiny backbone."""

from tests.tiny_fixtures import frames, pictures, tiny, tiny_recipe

__all__ = ["frames", "pictures", "tiny", "tiny_recipe"]
