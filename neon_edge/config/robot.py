"""A robot is a TOML file: joints by name, order, limits, motors, buses, safety and budgets."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from neon_edge.config.base import BASE_FULL_SPEED_S, Base, Triple
from neon_edge.config.cores import Runtime
from neon_edge.config.heads import HeadsChoice
from neon_edge.config.imu import Imu, UdpImu
from neon_edge.config.motors import Motor, NotNegative, Positive
from neon_edge.config.senses import Senses
from neon_edge.config.sensors import FixedSensor, LiveSensor, Sensor
from neon_edge.config.stopping import Heartbeat, Park, StopInput

Fraction = Annotated[float, Meta(gt=0, le=1)]

FULL_SPEED_S = 0.1
"""A Feetech STS at its own fastest ramp, 254 x 100 steps/s², reaches 4 rad/s in as much."""
FULL_PUSH_S = 0.02
"""One tick at 50 Hz: commands are delayed by half of one."""


class Joint(Struct, frozen=True, forbid_unknown_fields=True):
    """One joint: limits and gains in SI, and the motor that moves it."""

    name: str
    bus: str
    motor: Motor
    lower: float
    """rad"""
    upper: float
    """rad"""
    velocity: Positive
    """rad/s; no command moves faster."""
    effort: Positive
    """N·m"""
    acceleration: NotNegative = 0.0
    """rad/s²; 0: what reaches `velocity` in `FULL_SPEED_S`."""
    jerk: NotNegative = 0.0
    """rad/s³; 0: what reaches the acceleration in `FULL_PUSH_S`. Delays commands."""
    kp: NotNegative = 20.0
    """N·m/rad"""
    kd: NotNegative = 1.0
    """N·m·s/rad"""
    sign: Literal[1, -1] = 1
    """-1 where the motor turns against the joint."""
    offset: float = 0.0
    """rad: motor position where the joint is at zero."""
    opening: tuple[float, float] | None = None
    """A gripper's: rad where a head's value is 0, and where it is 1."""

    @property
    def acceleration_limit(self) -> float:
        """rad/s²"""
        return self.acceleration or self.velocity / FULL_SPEED_S

    @property
    def jerk_limit(self) -> float:
        """rad/s³"""
        return self.jerk or self.acceleration_limit / FULL_PUSH_S


class SerialBus(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="serial"):
    """A serial line. `channel` is a device, or "sim" for the emulated motors' own."""

    name: str
    channel: str
    baud: Annotated[int, Meta(gt=0)] = 1_000_000
    fast_sync_read: bool = False
    """All servos answer with one packet; X series firmware 45 and later."""


class CanBus(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="can"):
    """A CAN bus: `channel` is an interface (can0), unix:PATH, python-can's slcan:PATH, or "sim"."""

    name: str
    channel: str
    bit_rate: Annotated[int, Meta(gt=0)] = 1_000_000
    fd: bool = False


Bus = SerialBus | CanBus


class ClipCamera(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="clip"):
    """A recorded video as a camera: played at its own rate, over and over.

    `path` is a file, or package:NAME/FILE for one that an installed package carries.
    """

    name: str
    path: str


class LiveCamera(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="live"):
    """A camera that FFmpeg can open, such as /dev/video0 by V4L2."""

    name: str
    source: str
    format: str = "v4l2"
    """FFmpeg's input format; empty lets it guess, as for network streams."""
    options: dict[str, str] = field(default_factory=dict)
    """Of that format: video_size, framerate, input_format, rtsp_transport, …"""


Camera = ClipCamera | LiveCamera


class WavMicrophone(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="wav"):
    """A recording as a microphone: played at its own rate, over and over.

    `path` is a PCM WAV file, or package:NAME/FILE for one that an installed package carries.
    """

    name: str
    path: str


class LiveMicrophone(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="live"):
    """A microphone that FFmpeg can open, such as plughw:1 by ALSA.

    It must give the rate that the backbone listens at: nothing is resampled here.
    """

    name: str
    source: str
    format: str = "alsa"
    """FFmpeg's input format: alsa, pulse, …; empty lets it guess."""
    options: dict[str, str] = field(default_factory=dict)
    """Of that format. alsa and pulse are asked for the backbone's `sample_rate` unless told one."""


Microphone = WavMicrophone | LiveMicrophone


class SafetyLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """Where each rung of the staleness ladder begins, and how the robot starts.

    Defaults: a backbone at 5 Hz, ticks at 50 Hz, and the terminations of unitree_sdk2
    (`include/unitree/robot/g1/common/terminations.hpp`).
    """

    features_scale_after_ms: Positive = 400.0
    """Features older than this: motion is scaled down, to nothing at the next threshold."""
    features_hold_after_ms: Positive = 1000.0
    """Features older than this: hold."""
    hold_damp_after_s: NotNegative = 3.0
    """Features missing for this long after the hold began: damp; 0 holds for ever."""
    head_hold_after_ms: Positive = 60.0
    """A setpoint, or the last tick, older than this: hold."""
    joint_hold_after_ms: Positive = 60.0
    """A joint silent for longer than this: hold."""
    joint_damp_after_ms: Positive = 200.0
    """A joint silent for longer than this: damp."""
    base_hold_after_ms: Positive = 200.0
    """A base silent for longer than this: hold."""
    bus_scale_missing: Fraction = 0.05
    """Share of replies missing over the last second: scale, to nothing at the next threshold."""
    bus_hold_missing: Fraction = 0.2
    """Share of replies missing over the last second: hold."""
    bus_damp_missing: Fraction = 0.5
    """Share of replies missing over the last second: damp."""
    not_finite_damp_ticks: Annotated[int, Meta(ge=1)] = 25
    """So many ticks in a row with a setpoint that is not finite: damp. The first one holds."""
    velocity_trip: Positive = 1.5
    """Measured over allowed velocity: damp, after `velocity_trip_ticks` in a row."""
    velocity_trip_ticks: Annotated[int, Meta(ge=1)] = 3
    tilt_damp_rad: Positive = 1.0
    """The base leaning further than this: damp."""
    turn_damp_rad_s: Positive = 6.0
    """The base turning faster than this: damp."""
    imu_silent_after_ms: Positive = 100.0
    """An IMU silent for longer than this, where there is one: the rung of `imu_silent`."""
    imu_silent: Literal["hold", "damp"] = "hold"
    damp_off_after_s: NotNegative = 0.0
    """Damped for this long: torque off; 0 damps until somebody decides."""
    ramp_s: Positive = 3.0
    """From the measured pose to the head's setpoint at start-up and after every hold."""
    position_margin_rad: NotNegative = 0.02
    """Commands stay this far inside each joint's limits."""
    start_outside_rad: NotNegative = 0.05
    """A joint measured further outside its limits than this refuses to start."""


class Budget(Struct, frozen=True, forbid_unknown_fields=True):
    """The p99 figures that `profile` holds the robot to."""

    tick_ms: Positive = 20.0
    lateness_ms: Positive = 2.0
    feature_age_ms: Positive = 1000.0
    joint_age_ms: Positive | None = None
    """None, here and below: no promise."""
    capture_ms: Positive | None = None
    preprocess_ms: Positive | None = None
    backbone_ms: Positive | None = None
    publish_ms: Positive | None = None
    read_ms: Positive | None = None
    slot_ms: Positive | None = None
    heads_ms: Positive | None = None
    safety_ms: Positive | None = None
    write_ms: Positive | None = None


class RobotConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole robot file."""

    name: str
    engines: str
    """Name of a built recipe under engines/built, or a directory of plans."""
    joints: Annotated[list[Joint], Meta(min_length=1)]
    buses: Annotated[list[Bus], Meta(min_length=1)]
    cameras: list[Camera] = field(default_factory=list)
    microphone: Microphone | None = None
    """For backbones that listen."""
    senses: Senses = Senses()
    """When a camera or a microphone counts as dark, frozen, silent or lost."""
    sensors: list[Sensor] = field(default_factory=list)
    """Those that its heads were trained with, by the checkpoint's names."""
    instruction: str = ""
    simulated: bool = False
    rate_hz: Annotated[float, Meta(gt=0, le=1000)] = 50.0
    base: Base | None = None
    """Where base velocities go; without it none is sent."""
    base_velocity_limits: tuple[float, float, float] = (1.5, 0.5, 1.0)
    """m/s, m/s, rad/s: forward, sideways, turn."""
    base_acceleration_limits: Triple | None = None
    """m/s², m/s², rad/s²; without it, what reaches the velocities in `BASE_FULL_SPEED_S`."""
    start: Literal["armed", "disarmed"] = "armed"
    """Whether a run moves as soon as all is well, or waits without torque for `neon-edge arm`. A
    service that comes back from a crash waits either way."""
    first_features_s: Annotated[float, Meta(gt=0, le=3600)] = 240.0
    """What the backbone may take from its start to its first features: opening and warming a large
    one's engines. Then the run ends. Keep it below the unit's TimeoutStartSec."""
    stop: Literal["relax", "hold", "damp", "park"] = "relax"
    """The motion of a stop that was asked for, or that a failed bus or a bug of ours makes: torque
    off at once, or after `stop_s` of holding the pose or of damping, or the way to the pose of
    `park`. Families without damping are off from the first tick of a damp."""
    stop_s: Annotated[float, Meta(gt=0, le=4)] = 2.0
    """Time to take the robot's weight before the torque goes off."""
    park: Park | None = None
    stop_input: StopInput | None = None
    """The e-stop's contact, normally closed: what opens it, or loses it, damps the robot."""
    heartbeat: Heartbeat | None = None
    """Tells an external relay, tick by tick, that the robot is armed and well."""
    imu: Imu | None = None
    """Where the base's tilt and turning are heard; without it they are taken to be nothing."""
    safety: SafetyLimits = SafetyLimits()
    budget: Budget = Budget()
    runtime: Runtime = Runtime()
    heads: HeadsChoice | list[HeadsChoice] = HeadsChoice()
    """[heads], or [[heads]] for several on one backbone: each with a name and what it drives."""

    @property
    def joint_names(self) -> list[str]:
        """Joint names, in the order of every joint array of this robot."""
        return [joint.name for joint in self.joints]

    @property
    def head_choices(self) -> list[HeadsChoice]:
        """One a head, in the file's order."""
        return self.heads if isinstance(self.heads, list) else [self.heads]

    @property
    def live_sensors(self) -> list[LiveSensor]:
        """Those that speak, in the file's order: that of every array of sensors."""
        return [sensor for sensor in self.sensors if not isinstance(sensor, FixedSensor)]

    @property
    def base_acceleration(self) -> tuple[float, float, float]:
        """m/s², m/s², rad/s²"""
        if self.base_acceleration_limits is not None:
            return self.base_acceleration_limits
        forward, sideways, turn = (limit / BASE_FULL_SPEED_S for limit in self.base_velocity_limits)
        return forward, sideways, turn

    @property
    def emulated(self) -> bool:
        """Whether any bus, the base or the IMU is emulated."""
        on_base = self.base is not None and self.base.channel == "sim"
        on_imu = isinstance(self.imu, UdpImu) and self.imu.emulated
        return on_base or on_imu or any(bus.channel == "sim" for bus in self.buses)
