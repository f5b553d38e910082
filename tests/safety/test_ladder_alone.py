"""The ladder without a filter: exact times, what latches, and that nothing leads up from a damp."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from neon_edge.config import SafetyLimits
from neon_edge.safety.ladder import Ladder
from neon_edge.safety.watch import DISARMED, RUNNING, Cause, Judgement
from neon_edge.types import Rung


def test_the_ladders_own_times_are_exact_to_the_nanosecond() -> None:
    ladder = Ladder(SafetyLimits(hold_damp_after_s=3.0, damp_off_after_s=2.0))
    hold = Judgement(Rung.HOLD, Cause.FEATURES_OLD)
    for start_ns in (0, 7):
        ladder.start(start_ns)
        began_ns = start_ns + 5
        assert ladder.step(hold, began_ns) is hold
        assert ladder.step(hold, began_ns + 3 * 10**9 - 1) is hold
        damped = ladder.step(hold, began_ns + 3 * 10**9)
        assert damped == (Rung.DAMP, Cause.HELD_TOO_LONG, 1.0, -1)
        began_ns += 3 * 10**9
        assert ladder.step(RUNNING, began_ns + 2 * 10**9 - 1) is damped
        off = ladder.step(RUNNING, began_ns + 2 * 10**9)
        assert off == ladder.now == (Rung.OFF, Cause.DAMPED_TOO_LONG, 1.0, -1)
        assert [type(part) for part in (*damped[:2], *off[:2])] == [Rung, Cause] * 2
        assert ladder.step(hold, began_ns + 10**12) is off


def test_a_nanosecond_is_a_time_and_nought_is_none() -> None:
    soon = SafetyLimits(hold_damp_after_s=1e-9, damp_off_after_s=1e-9)
    hold = Judgement(Rung.HOLD, Cause.FEATURES_OLD)
    ladder = Ladder(soon)
    ladder.start(0)
    assert [ladder.step(hold, t).rung for t in (0, 1, 2)] == [Rung.HOLD, Rung.DAMP, Rung.OFF]
    ladder = Ladder(SafetyLimits(hold_damp_after_s=0, damp_off_after_s=0))
    ladder.start(0)
    assert {ladder.step(hold, t * 10**12).rung for t in range(9)} == {Rung.HOLD}
    ladder.step(Judgement(Rung.DAMP, Cause.TILTED), 0)
    assert ladder.step(RUNNING, 10**15).cause is Cause.TILTED


def test_a_late_look_finds_the_time_long_past() -> None:
    ladder = Ladder(SafetyLimits(hold_damp_after_s=3.0, damp_off_after_s=2.0))
    ladder.start(0)
    hold = Judgement(Rung.HOLD, Cause.FEATURES_OLD)
    looks = [ladder.step(hold, second * 10**9).rung for second in (1, 10, 20)]
    assert looks == [Rung.HOLD, Rung.DAMP, Rung.OFF]


def test_only_a_hold_that_began_as_one_counts_and_only_while_it_lasts() -> None:
    hold, scale = (Judgement(rung, Cause.FEATURES_OLD) for rung in (Rung.HOLD, Rung.SCALE))
    ladder = Ladder(SafetyLimits(hold_damp_after_s=3.0))
    for after_a_while in (RUNNING, scale):
        ladder.start(0)
        ladder.step(after_a_while, 1)
        assert ladder.step(after_a_while, 10 * 10**9) is after_a_while
        assert ladder.step(hold, 10 * 10**9 + 1) is hold
        assert ladder.step(after_a_while, 20 * 10**9) is after_a_while


def test_a_ladder_begins_disarmed_and_is_armed_by_start_alone() -> None:
    ladder = Ladder(SafetyLimits())
    assert ladder.step(RUNNING, 5) is ladder.now
    assert ladder.now == DISARMED
    ladder.start(0)
    assert ladder.now == RUNNING


@given(
    st.lists(st.tuples(st.sampled_from(list(Rung)[:4]), st.integers(1, 2_000_000_000)), max_size=60)
)
def test_no_sequence_of_judgements_leads_up_from_damp(steps: list[tuple[Rung, int]]) -> None:
    ladder = Ladder(SafetyLimits(damp_off_after_s=2.0))
    ladder.start(0)
    now_ns, before = 0, Rung.RUN
    for rung, passed_ns in steps:
        now_ns += passed_ns
        stands = ladder.step(Judgement(rung, Cause.FEATURES_OLD), now_ns).rung
        assert stands >= rung or before >= Rung.DAMP
        if before >= Rung.DAMP:
            assert stands >= before
        before = stands
