"""The emulated locomotion controller: it integrates, refuses as written, and stops by itself."""

import math

import msgspec
import pytest

from neon_edge.config import UdpBase, load_robot
from neon_edge.sim.base import EmulatedBase
from neon_edge.transport.protocol.velocity import (
    BaseState,
    VelocityCommand,
    VelocityReport,
    decode_report,
    encode_command,
)

MS = 1_000_000
ROBOT = msgspec.structs.replace(load_robot("sim"), base=UdpBase(channel="sim"))


def command(sequence: int, *velocity: float, session: int = 1, hold_ms: int = 100) -> bytes:
    forward, sideways, turn = velocity or (0.0, 0.0, 0.0)
    return encode_command(
        VelocityCommand(hold_ms, session, sequence, 1000 + sequence, (forward, sideways, turn))
    )


def told(raw: bytes | None) -> VelocityReport:
    assert raw is not None
    report = decode_report(raw)
    assert report is not None
    return report


def test_it_follows_and_says_what_it_follows() -> None:
    base = EmulatedBase(ROBOT, 0)
    report = told(base.take(command(4, 0.5, 0, 0), 5 * MS))
    assert (report.state, report.session, report.sequence) == (BaseState.FOLLOWING, 1, 4)
    assert report.at_ns == 1004


def test_it_integrates_in_its_own_frame() -> None:
    base = EmulatedBase(ROBOT, 0)
    at_ns = 0
    for sequence, velocity in enumerate([(0.0, 0.0, 1.0)] * 60 + [(0.0, 0.0, 0.0)] * 40):
        at_ns += 20 * MS
        base.take(command(sequence + 1, *velocity), at_ns)
    turned = base.pose[2]
    assert 1.0 < turned < 1.3
    for sequence in range(100, 150):
        at_ns += 20 * MS
        base.take(command(sequence + 1, 1.0, 0, 0), at_ns)
    assert base.pose[1] == pytest.approx(base.pose[0] * math.tan(turned), rel=1e-6)
    assert 0.8 < math.hypot(base.pose[0], base.pose[1]) < 1.0


def test_silence_stops_it_once_and_a_newer_command_goes_on() -> None:
    base = EmulatedBase(ROBOT, 0)
    for sequence in range(1, 60):
        base.take(command(sequence, 1.0, 0, 0), sequence * 20 * MS)
    last_ns = 59 * 20 * MS
    assert base.velocity[0] == pytest.approx(1.0)
    assert not base.advance(last_ns + 100 * MS)
    assert base.velocity[0] == pytest.approx(1.0)
    assert base.advance(last_ns + 102 * MS)
    assert not base.advance(last_ns + 2000 * MS)
    assert told(base.report()).state is BaseState.STOPPED
    assert base.velocity == pytest.approx([0, 0, 0], abs=1e-9)
    assert told(base.take(command(60), last_ns + 2100 * MS)).state is BaseState.FOLLOWING


@pytest.mark.parametrize(
    "raw",
    [
        command(5),
        command(4),
        command(2**31 + 6),
        command(9, session=2),
        b"",
        command(9)[:-1] + b"?",
    ],
)
def test_what_must_be_refused_is_counted_and_changes_nothing(raw: bytes) -> None:
    base = EmulatedBase(ROBOT, 0)
    base.take(command(5, 0.3, 0, 0), MS)
    assert base.take(raw, 2 * MS) is None
    report = told(base.report())
    assert (report.refused, report.sequence, base.taken) == (1, 5, 1)


def test_another_session_is_taken_only_from_a_standstill() -> None:
    base = EmulatedBase(ROBOT, 0)
    base.take(command(5), 0)
    assert base.take(command(1, session=2), 100 * MS) is None
    assert told(base.take(command(1, session=2), 102 * MS)).session == 2
