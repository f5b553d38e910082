"""The link to the base, against the emulated controller on a real socket, on a clock of our own."""

from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from neon_edge.clock import FakeClock
from neon_edge.config import RobotConfig, UdpBase, load_robot
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.safety.filter import SafetyFilter
from neon_edge.sim.base import BaseServer
from neon_edge.transport.base import BaseLink
from neon_edge.types import Features, Health, JointCommand, JointState, Setpoint

MS = 1_000_000
ROBOT = msgspec.structs.replace(load_robot("sim"), base=UdpBase(channel="sim", watchdog_ms=100))


class ServedClock(FakeClock):
    """Time passes when it is slept, and the controller is served meanwhile."""

    server: BaseServer | None = None

    def sleep_until_ns(self, deadline_ns: int) -> None:
        super().sleep_until_ns(deadline_ns)
        if self.server is not None:
            self.server.serve(self.now_ns())


class Bench:
    def __init__(self) -> None:
        self.clock = ServedClock()
        self.server = self.clock.server = BaseServer(ROBOT, self.clock)
        config = UdpBase(channel=self.server.channel, watchdog_ms=100)
        self.link = BaseLink(config, self.clock)
        self.joints = joint_state(ROBOT, 0)

    def pass_ms(self, count: int) -> None:
        self.clock.sleep_until_ns(self.clock.now_ns() + count * MS)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.link.close()
    made.server.close()


def joint_state(robot: RobotConfig, at_ns: int) -> JointState:
    zeros = np.zeros(len(robot.joints), np.float32)
    return JointState(zeros, zeros, zeros, np.full(len(zeros), at_ns))


def wanting(bench: Bench, safety: SafetyFilter, *base: float) -> JointCommand:
    """A tick's command; only safety makes one."""
    now_ns = bench.clock.now_ns()
    state = joint_state(ROBOT, now_ns)
    features = Features(np.zeros(8, np.float32), now_ns, now_ns, 1, 1)
    setpoint = Setpoint(state.position, np.float32(base), now_ns, now_ns)
    return safety.filter(setpoint, state, features, Health(), now_ns)


def test_a_base_is_found_and_seen_to_stop_by_itself(bench: Bench) -> None:
    bench.link.set_up()
    assert bench.server.base.state == 2
    assert bench.link.counters.trips == 0
    assert bench.link.counters.reports >= 2


def test_velocities_arrive_and_the_measured_one_comes_back(bench: Bench) -> None:
    bench.link.set_up()
    safety = SafetyFilter(ROBOT, np.arange(29))
    safety.start(np.zeros(29, np.float32), bench.clock.now_ns())
    for _ in range(250):
        bench.link.read(bench.joints)
        bench.link.write(wanting(bench, safety, 0.5, 0.1, -0.3))
        bench.pass_ms(20)
    bench.link.read(bench.joints)
    assert bench.server.base.velocity == pytest.approx([0.5, 0.1, -0.3], abs=1e-6)
    assert bench.joints.base_velocity == pytest.approx([0.5, 0.1, -0.3], abs=1e-3)
    assert bench.clock.now_ns() - bench.joints.base_received_ns <= 20 * MS
    assert bench.link.counters.sent - bench.server.base.taken == 0
    assert bench.link.counters.refused == 0


def test_a_host_that_dies_leaves_a_base_that_stands(bench: Bench) -> None:
    bench.link.set_up()
    safety = SafetyFilter(ROBOT, np.arange(29))
    safety.start(np.zeros(29, np.float32), bench.clock.now_ns())
    for _ in range(250):
        bench.link.read(bench.joints)
        bench.link.write(wanting(bench, safety, 0.5, 0, 0))
        bench.pass_ms(20)
    assert bench.server.base.velocity[0] > 0.49
    bench.pass_ms(400)
    assert bench.server.base.velocity == pytest.approx([0, 0, 0], abs=1e-9)
    bench.link.read(bench.joints)
    assert bench.link.counters.trips == 1


def test_a_controller_that_is_gone_is_silence_and_never_an_error(bench: Bench) -> None:
    bench.link.set_up()
    bench.server.close()
    bench.clock.server = None
    heard_ns = bench.clock.now_ns()
    safety = SafetyFilter(ROBOT, np.arange(29))
    safety.start(np.zeros(29, np.float32), heard_ns)
    for _ in range(20):
        bench.pass_ms(20)
        bench.link.read(bench.joints)
        bench.link.write(wanting(bench, safety, 0, 0, 0))
    assert bench.joints.base_received_ns <= heard_ns
    assert bench.link.counters.reports == 2


def test_a_base_that_is_not_there_is_refused_at_start() -> None:
    clock = FakeClock()
    link = BaseLink(UdpBase(channel="127.0.0.1:9", watchdog_ms=100), clock)
    with pytest.raises(DeviceMissing, match=r"127.0.0.1:9 does not answer"):
        link.set_up()
    link.close()


def test_a_base_that_does_not_stop_by_itself_is_refused(bench: Bench) -> None:
    bench.server.base._watch = lambda: False  # type: ignore[method-assign]
    with pytest.raises(DeviceMissing, match="did not stop by itself"):
        bench.link.set_up()


@pytest.mark.parametrize("channel", ["sim", "host", "127.0.0.1:", "127.0.0.1:port", ":1"])
def test_a_channel_that_is_no_address_is_refused(channel: str) -> None:
    with pytest.raises(ConfigWrong, match="not an address"):
        BaseLink(UdpBase(channel=channel), FakeClock())


def test_a_stop_is_one_zero_velocity_however_often_it_is_asked_for(bench: Bench) -> None:
    bench.link.set_up()
    sent = bench.link.counters.sent
    bench.link.stop()
    bench.link.stop()
    assert bench.link.counters.sent == sent + 1
    bench.pass_ms(5)
    assert bench.server.base.state == 1
