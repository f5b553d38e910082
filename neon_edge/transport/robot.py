"""A robot's joints and base: brought up with every doubt removed, then one exchange a tick."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from neon_edge.clock import Clock
from neon_edge.config import CanBus, RobotConfig
from neon_edge.errors import BusFailed, DeviceMissing
from neon_edge.transport.base import BaseLink, open_base
from neon_edge.transport.bus import Bus, BusCounters, Tap, open_bus
from neon_edge.transport.chain import Chain, JointCounters, Placed, joint_counters
from neon_edge.transport.families import make_chain
from neon_edge.transport.load import check_load
from neon_edge.transport.master import hold_bus
from neon_edge.transport.turns import TURNS_SHARE, wait_for_any
from neon_edge.types import Float32, Float64, JointCommand, JointState

AGREE_RAD = 0.02
"""Two measurements of a robot at rest differ by less."""


class Robot:
    """All joints over all buses. Made by `open_robot`; one thread owns it."""

    def __init__(
        self,
        config: RobotConfig,
        buses: Sequence[Bus],
        chains: Sequence[Chain],
        counters: JointCounters,
        clock: Clock,
        watched: Sequence[bool],
        base: BaseLink | None = None,
    ) -> None:
        self._clock = clock
        self.base = base
        """Where base velocities go, if anywhere."""
        # Those without a watchdog first: from its own enabling on, a watched chain must be fed.
        order = sorted(range(len(chains)), key=lambda k: watched[k])
        self._enabling = [chains[k] for k in order]
        n = len(config.joints)
        self.joint_names = config.joint_names
        self.counters = counters
        """Per joint: sent, received, missing, faults."""
        self.bus_counters: dict[str, BusCounters] = {bus.name: bus.counters for bus in buses}
        self._buses = buses
        self._chains = chains
        self._places = [
            [k for k, joint in enumerate(config.joints) if joint.bus == bus.name] for bus in buses
        ]
        self._state = JointState(
            np.zeros(n, np.float32),
            np.zeros(n, np.float32),
            np.zeros(n, np.float32),
            np.zeros(n, np.int64),
        )
        self._turns_ns = round(TURNS_SHARE * 1e9 / config.rate_hz)
        self._living = list(zip(chains, self._places, strict=True))
        self._lost: list[int] = []
        self._untold: list[Exception] = []
        self.ending = False
        """While the robot is brought to its stop: what is left of it goes on without lost buses."""

    def read(self) -> JointState:
        """What every motor answered to the previous `write`, without waiting.

        `received_ns` is when the answer was taken off the bus. The arrays are overwritten by the
        next call. A bus that fails is left out from then on, and its failure is raised by the
        `read` of the next tick, once; while `ending`, never.
        """
        if self._untold and not self.ending:
            raise self._untold.pop(0)
        for chain, places in self._living:
            try:
                chain.read(self._state)
            except self._bearable as failure:
                self._lose(chain, places, failure)
        if self.ending and self._lost:
            # What cannot be commanded must not take from the others the pose that they can hold.
            self._state.received_ns[self._lost] = self._clock.now_ns()
            self._state.velocity[self._lost] = 0.0
        if self.base is not None:
            self.base.read(self._state)
        return self._state

    @property
    def _bearable(self) -> type[Exception]:
        """What costs one bus and not the others: towards the end, a bug in its driver as well."""
        return Exception if self.ending else BusFailed

    def _lose(self, chain: Chain, places: list[int], failure: Exception) -> None:
        self._living = [living for living in self._living if living[0] is not chain]
        self._lost += places
        self._untold.append(failure)

    def write(self, command: JointCommand) -> int:
        """Send every joint its command and ask for its state; give joint commands sent.

        Motors that are off (before `enable`, after DAMP or OFF where the family says so, once they
        have gone off by themselves) are asked for their state and sent nothing else. Raises
        `TypeError` for what safety has not let through, `ValueError` for what fits no frame. Of a
        bus that fails, the next `read` tells.
        """
        if type(command) is not JointCommand:
            raise TypeError("a bus carries nothing but a JointCommand")
        sent = 0
        last_ns = self._clock.now_ns() + self._turns_ns
        for chain, places in self._living:
            try:
                sent += chain.write(command)
            except self._bearable as failure:
                self._lose(chain, places, failure)
        self._take_turns(last_ns)
        if self.base is not None:
            self.base.write(command)
        return sent

    def _take_turns(self, last_ns: int) -> None:
        """All lines side by side: however many are silent, the tick waits once."""
        waiting = [(c, p, c.turns) for c, p in self._living if c.turns is not None]
        while waiting:
            for one in waiting[:]:
                chain, places, line = one
                try:
                    if not line.step(last_ns):
                        waiting.remove(one)
                except self._bearable as failure:
                    waiting.remove(one)
                    self._lose(chain, places, failure)
            if waiting:
                wait_for_any([line for _, _, line in waiting], self._clock)

    def listen(self, tap: Tap | None) -> None:
        """From now on `tap` is told of all that passes on any bus."""
        for bus in self._buses:
            bus.tap = tap

    def measure(self) -> Float32:
        """Joint positions (joints,) in rad, asked for twice. Raises `DeviceMissing` if they differ.

        Waits for the answers: not for the tick.
        """
        first, second = self._measure_once(), self._measure_once()
        apart = np.abs(first - second)
        worst = int(np.argmax(apart))
        if not apart[worst] <= AGREE_RAD:
            raise DeviceMissing(
                f"joint {self.joint_names[worst]!r} does not stand still",
                f"{first[worst]:.4f} rad, then {second[worst]:.4f} rad",
                "support the robot until it rests; if it does, check the encoder",
            )
        return second.astype(np.float32)

    def _measure_once(self) -> Float64:
        pose = np.full(len(self.joint_names), np.nan)
        for chain, places in zip(self._chains, self._places, strict=True):
            pose[places] = chain.measure()
        return pose

    def enable(self) -> Float32:
        """Torque on without a jump; give the measured pose (joints,) that is now held.

        Also the explicit re-arming after DAMP, OFF or a tripped watchdog. From here the watchdogs
        run: the first `write` must follow within the shortest of them.
        """
        for chain in self._chains:
            chain.prepare()
        pose = self.measure()
        for chain in self._enabling:
            chain.enable()
        # The first tick must not take a robot that has just been measured for a silent one.
        self._state.position[:] = pose
        self._state.received_ns[:] = self._clock.now_ns()
        if self.base is not None:
            self.base.alive()
        return pose

    def disable(self) -> None:
        """The declared stop: torque off everywhere, even where one bus fails.

        Raises the first failure after all buses have been tried.
        """
        failures = []
        if self.base is not None:
            self.base.stop()
        for chain in self._chains:
            try:
                chain.disable()
            except Exception as failure:
                failures.append(failure)
        if failures:
            raise failures[0]


@contextlib.contextmanager
def open_robot(config: RobotConfig, clock: Clock) -> Iterator[Robot]:
    """Open every bus, check every motor against the robot file, arm and trip its watchdog, measure.

    Leaving the context takes the torque off and closes the buses. Raises `DeviceMissing` for what
    is absent or silent, `ConfigWrong` for what is not as the robot file says.
    """
    check_load(config)
    with contextlib.ExitStack() as opened:
        counters = joint_counters(len(config.joints))
        buses: list[Bus] = []
        chains: list[Chain] = []
        for bus_config in config.buses:
            placed = [
                Placed(k, joint)
                for k, joint in enumerate(config.joints)
                if joint.bus == bus_config.name
            ]
            if not placed:
                continue
            if isinstance(bus_config, CanBus) and bus_config.channel != "sim":
                opened.callback(hold_bus(bus_config).close)
            bus = open_bus(bus_config, clock)
            opened.callback(bus.close)
            buses.append(bus)
            chains.append(make_chain(bus_config, bus, placed, counters, clock, config.rate_hz))
        for chain in chains:
            chain.set_up()
        base = open_base(config, clock)
        if base is not None:
            opened.callback(base.close)
            base.set_up()
        watched = _trip_watchdogs(chains, clock)
        robot = Robot(config, buses, chains, counters, clock, watched, base)
        robot.measure()
        opened.callback(_stop, robot)
        yield robot


def _trip_watchdogs(chains: Sequence[Chain], clock: Clock) -> list[bool]:
    """Every armed watchdog is seen to work before anything depends on it; gives who has one."""
    silences_ns = [chain.lull() for chain in chains]
    if any(silences_ns):
        clock.sleep_until_ns(clock.now_ns() + max(silences_ns))
        for chain in chains:
            chain.check_tripped()
    return [bool(silence_ns) for silence_ns in silences_ns]


def _stop(robot: Robot) -> None:
    # Whatever ended the run is what the caller must hear of, not that the bus is gone as well.
    with contextlib.suppress(Exception):
        robot.disable()
