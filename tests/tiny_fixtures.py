"""Real pictures and the exported tiny backbone, for the folders whose conftest takes them."""

from __future__ import annotations

import pytest

from neon_edge.build.recipe import Recipe
from neon_edge.types import CameraFrame, UInt8
from tests.tiny_backbone import Exported, exported_tiny, street, tiny_text


@pytest.fixture(scope="session")
def pictures() -> list[UInt8]:
    return street()


@pytest.fixture(scope="session")
def frames(pictures: list[UInt8]) -> list[CameraFrame]:
    return [CameraFrame(picture, number, "street") for number, picture in enumerate(pictures)]


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    return tiny_text()


@pytest.fixture(scope="session")
def tiny() -> Exported:
    return exported_tiny()
