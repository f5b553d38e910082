"""The five stages of a tick, wired to real parts, each stamped as it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from neon_edge.clock import Clock
from neon_edge.config import RobotConfig
from neon_edge.errors import DeviceMissing, NeonEdgeError
from neon_edge.features.slot import SlotReader
from neon_edge.heads.strategy import Heads
from neon_edge.runtime.health import HealthWatch
from neon_edge.runtime.loop import Tick
from neon_edge.runtime.observed import Kind, Observer
from neon_edge.runtime.parking import Parking
from neon_edge.safety.filter import SafetyFilter
from neon_edge.telemetry.frames import FrameRing
from neon_edge.telemetry.ring import TickRing
from neon_edge.transport.heartbeat import Pulse
from neon_edge.transport.robot import Robot
from neon_edge.transport.sensors import LiveSensors
from neon_edge.types import Features, JointCommand, JointState, Setpoint

NO_JOINT = 0xFFFF
"""In a tick's row: no joint in particular."""


class RobotStages:
    """Passes every call on, and keeps the times between them for the tick's row."""

    def __init__(
        self,
        robot: Robot,
        slot: SlotReader,
        heads: Heads,
        safety: SafetyFilter,
        health: HealthWatch,
        ring: TickRing,
        clock: Clock,
        observer: Observer | None = None,
        sensors: LiveSensors | None = None,
    ) -> None:
        self._robot = robot
        self._slot = slot
        self._heads = heads
        self._safety = safety
        self._health = health
        self._ring = ring
        self._clock = clock
        self._observer = observer
        self._sensors = sensors
        self._setpoint: Setpoint | None = None
        self.stop: Literal["", "hold", "damp"] = ""
        """The stopping motion, once it has begun."""
        self.parking: Parking | None = None
        """The way to where the robot is left, once it is under way."""
        self._joints: JointState | None = None
        self.pulse: Pulse | None = None
        """The heartbeat that an external relay listens to."""
        self.frames: FrameRing | None = None
        """What passed on the buses, where the run is recorded."""
        self.arming = False
        """Set from a signal: a person wants the robot to move again."""
        self.enabling = 0
        """Joint commands that arming took, all joints together: no tick counts them."""
        self.told: Callable[[NeonEdgeError | None], None] = lambda _: None
        """Called after an arming that a person asked for, with why it failed or None."""
        self.swap: Callable[[int], int] = lambda _: 0
        """Asked behind every tick, by its number, whether another head takes over; its order."""
        self.refused: NeonEdgeError | None = None
        """Why the last arming failed."""
        self._begun_ns = 0
        self._read_ns = 0
        self._slot_ns = 0
        self._heads_ns = 0
        self._safety_ns = 0
        self._joints_ns = 0

    def read(self) -> JointState:
        """Joint state from the replies that are in, and the newest of live sensors."""
        self._begun_ns = self._clock.now_ns()
        joints = self._joints = self._robot.read()
        if self._sensors is not None:
            self._sensors.read()
        self._read_ns = self._clock.now_ns()
        return joints

    def latest(self) -> Features | None:
        """The newest features."""
        features = self._slot.latest()
        self._slot_ns = self._clock.now_ns()
        return features

    def decide(self, features: Features | None, joints: JointState, tick: Tick) -> Setpoint | None:
        """What the heads want; nothing while the robot stops: they may be what has failed."""
        self._setpoint = None
        if self.parking is not None:
            self._setpoint = self.parking.setpoint(self._safety.now.rung, tick.start_ns)
        elif not self.stop:
            self._setpoint = self._heads.setpoint(features, joints, tick.start_ns, tick.number)
        self._heads_ns = self._clock.now_ns()
        return self._setpoint

    def make_safe(
        self, setpoint: Setpoint | None, joints: JointState, features: Features | None, at_ns: int
    ) -> JointCommand:
        """What may be sent."""
        health = self._health.now()
        health.stop_pressed |= self.stop == "damp"
        command = self._safety.filter(setpoint, joints, features, health, at_ns)
        self._safety_ns = self._clock.now_ns()
        # Sending may take in answers: what was decided on is kept ahead of it.
        self._joints_ns = int(joints.received_ns.min())
        if self._observer is not None:
            self._observer.saw(joints, features, health)
        return command

    def write(self, command: JointCommand) -> int:
        """Send it; joint commands sent."""
        sent = self._robot.write(command)
        if self.pulse is not None:
            self.pulse.tick(command.rung)
        return sent

    def record(self, tick: Tick, joints: JointState, command: JointCommand, sent: int) -> None:
        """Keep this tick's row."""
        end_ns = self._clock.now_ns()
        self._ring.add(
            number=tick.number,
            due_ns=tick.due_ns,
            start_ns=tick.start_ns,
            end_ns=end_ns,
            read_ns=self._read_ns - self._begun_ns,
            slot_ns=self._slot_ns - self._read_ns,
            heads_ns=self._heads_ns - self._slot_ns,
            safety_ns=self._safety_ns - self._heads_ns,
            write_ns=end_ns - self._safety_ns,
            features_ns=command.features_ns,
            joints_ns=self._joints_ns,
            rung=command.rung,
            cause=self._safety.cause,
            joint=self._safety.now.joint & NO_JOINT,
            clipped=self._safety.clipped,
            sent=sent,
        )
        if self._observer is not None:
            self._observer.tick(tick.number, self._setpoint, command, self._kind())
        if self.frames is not None:
            self.frames.commit()
        order = self.swap(tick.number)
        if order and self._observer is not None:
            self._observer.swapped(order, joints.position, end_ns)
        if self.arming:
            self.arming = False
            self.arm()
            self.told(self.refused)

    def _kind(self) -> Kind:
        if self.parking is not None:
            return Kind.PARK
        return Kind.UNASKED if self.stop else Kind.TICK

    def park(self, robot: RobotConfig) -> None:
        """From the next tick on, the way to where the robot is left."""
        self.parking = Parking(robot, self._safety.standing)
        self._safety.park()

    def parked(self) -> bool:
        """Whether that way has ended."""
        if self.parking is None or self._joints is None:
            return True
        return self.parking.ended(self._safety.now.rung, self._joints)

    def arm_or_raise(self) -> None:
        """Arm at the start of a run: there is nothing to stay on. Raises what `arm` keeps."""
        self.arm()
        if self.refused is not None:
            raise self.refused

    def arm(self) -> None:
        """Torque on where it stands, and a ramp from there. Between ticks: it may cost some.

        Refused (`refused` says why), the robot stays on the rung it is on.
        """
        sent = int(self._robot.counters.sent.sum())
        try:
            if self._health.stop_pressed:
                raise DeviceMissing(
                    "the e-stop is pressed, or its input is lost",
                    "the robot stays as it is",
                    "release it, then arm: neon-edge arm",
                )
            self._refuse_unheard()
            measured, at_ns = self._robot.enable(), self._clock.now_ns()
            if self._sensors is not None:
                self._sensors.catch_up()
            self._safety.start(measured, at_ns)
        except NeonEdgeError as failure:
            self.refused = failure
        else:
            self.refused = None
            if self._observer is not None:
                self._observer.armed(measured, at_ns)
        self.enabling += int(self._robot.counters.sent.sum()) - sent

    def _refuse_unheard(self) -> None:
        unheard = [] if self._sensors is None else self._sensors.unheard
        if unheard:
            raise DeviceMissing(
                "the heads need a sensor that has not spoken yet",
                f"never heard: {', '.join(unheard)}",
                "start its sender, and see that [[sensors]] is where it sends",
            )
