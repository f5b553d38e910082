"""A little of what `python -m tests.transport.fuzz` does a million times."""

import pytest

from tests.transport.families import FAMILIES
from tests.transport.fuzz import fuzz


@pytest.mark.parametrize("family", FAMILIES)
def test_no_frame_breaks_a_decoder_or_moves_a_motor_it_should_not(family: str) -> None:
    valid, invalid = fuzz(family, 3000, seed=5)
    assert valid + invalid == 3000
    assert min(valid, invalid) > 50
