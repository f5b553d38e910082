"""`robstride-dynamics` drives our motors through its own bus class; frames agree to a step.

It scales with 7FFF a side, we (and CyberGear's vendor) with FFFF over the whole span: the two
differ by one step at most.
"""

from __future__ import annotations

import contextlib
import io
import random

import can
from robstride_dynamics import bus as library
from robstride_dynamics.protocol import ParameterType

from neon_edge.config import RobotConfig
from neon_edge.sim.robstride import EmulatedRobstride
from neon_edge.transport.protocol import robstride
from neon_edge.types import BusFrame
from tests.transport.families import robot_of
from tests.transport.inline import InlineRig

MODELS = ("rs00", "rs02", "rs03", "rs04", "rs05", "rs06")


class Channel:
    """What the library takes for a python-can bus."""

    def __init__(self, rig: InlineRig) -> None:
        self._rig = rig
        self.sent: list[BusFrame] = []
        self._heard: list[BusFrame] = []

    def send(self, message: can.Message) -> None:
        frame = BusFrame(message.arbitration_id, bytes(message.data), message.is_extended_id)
        self.sent.append(frame)
        self._rig.bus.send([frame])
        self._heard += self._rig.bus.receive_ready()

    def recv(self, timeout: float | None = None) -> can.Message | None:
        if not self._heard:
            return None
        frame = self._heard.pop(0)
        return can.Message(
            arbitration_id=frame.arbitration_id, data=frame.payload, is_extended_id=True
        )

    def shutdown(self) -> None:
        pass


def compare(count: int, seed: int) -> int:
    """At least `count` frames. Gives how many; an assertion fails on a difference."""
    # The library talks on stdout.
    with contextlib.redirect_stdout(io.StringIO()):
        return sum(_model(model, count // len(MODELS) + 1, seed) for model in MODELS)


def _model(model: str, count: int, seed: int) -> int:
    draw = random.Random(f"{model} {seed}")
    config: RobotConfig = robot_of("robstride", model=model)
    rig = InlineRig(config, (0.2, -0.4, 0.9))
    channel = Channel(rig)
    named = f"{model[:2]}-{model[2:]}"
    motors = {str(i): library.Motor(i, named) for i in (1, 2, 3)}
    theirs = library.RobstrideBus("none", motors)
    theirs.channel_handler = channel
    ranges = robstride.MODELS[model]
    batch = {i: robstride.CommandBatch([(i, ranges)]) for i in (1, 2, 3)}
    compared = 0
    for i in (1, 2, 3):
        theirs.write(str(i), ParameterType.CAN_TIMEOUT, 20_000)
        assert theirs.read(str(i), ParameterType.CAN_TIMEOUT) == 20_000
        written = robstride.write_parameter(0xFF, i, robstride.Parameter.CAN_TIMEOUT, 20_000)
        assert channel.sent[-2] == written
        assert channel.sent[-1] == robstride.read_parameter(0xFF, i, 0x7028)
        theirs.enable(str(i))
        assert channel.sent[-1] == robstride.simple(robstride.Kind.ENABLE, 0xFF, i)
        compared += 6
    while compared < count:
        i = draw.randrange(3) + 1
        motor = rig.body.motors[i - 1]
        assert isinstance(motor, EmulatedRobstride)
        row = [draw.uniform(-1, 1) * span for span in ranges]
        row[2:4] = [abs(row[2]), abs(row[3])]
        position, velocity, kp, kd, torque = row
        theirs.write_operation_frame(str(i), position, kp, kd, velocity, torque)
        (ours,) = batch[i].encode(robstride.np.array(row)[:, None])
        _same_within_a_step(ours, channel.sent[-1], ranges)
        heard = theirs.read_operation_frame(str(i))
        truth = (motor.position, motor.velocity, motor.torque)
        spans = (ranges.position, ranges.velocity, ranges.torque)
        for value, exact, span in zip(heard[:3], truth, spans, strict=True):
            assert abs(value - min(max(exact, -span), span)) <= 4 * span / robstride.STEPS
        assert heard[3] == 35.0
        compared += 2
        rig.clock.advance_ns(draw.randrange(2_000_000))
    theirs.disconnect()
    return compared


def _same_within_a_step(ours: BusFrame, other: BusFrame, ranges: robstride.Ranges) -> None:
    mine, library_s = robstride.split(ours.arbitration_id), robstride.split(other.arbitration_id)
    assert (mine.kind, mine.target) == (library_s.kind, library_s.target)
    ends = (2 * ranges.position, 2 * ranges.velocity, ranges.kp, ranges.kd, 2 * ranges.torque)
    pairs = zip(
        robstride.decode_command(ranges, ours),
        robstride.decode_command(ranges, other),
        ends,
        strict=True,
    )
    for value, their_value, span in pairs:
        assert abs(value - their_value) <= 1.005 * span / robstride.STEPS
