"""A little of what `python -m tests.transport.fuzz` does a million times."""

from __future__ import annotations

import pytest

from neon_edge.sim.damiao import EmulatedDamiao
from tests.transport.families import FAMILIES
from tests.transport.fuzz import fuzz, main


@pytest.mark.parametrize("family", FAMILIES)
def test_no_frame_breaks_a_decoder_or_moves_a_motor_it_should_not(family: str) -> None:
    seen = fuzz(family, 3000, seed=5)
    assert (seen.found, seen.words) == (0, [])
    assert seen.sound + seen.unsound == 3000
    assert min(seen.sound, seen.unsound) > 300
    assert seen.armed > 1


def test_what_is_wrong_is_found_counted_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A motor that takes an extended id for its own.
    obeys = EmulatedDamiao.answer

    def either(self, frame, now_ns):  # type: ignore[no-untyped-def]
        return obeys(self, frame._replace(extended=False), now_ns)

    monkeypatch.setattr(EmulatedDamiao, "answer", either)
    monkeypatch.setattr("tests.transport.fuzz.FAMILIES", ["damiao"])
    assert main(300) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[1].split()[0] == "damiao"
    assert int(told[1].split()[-1]) > 3
    assert "moved" in told[2]
