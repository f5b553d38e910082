"""mjbots' `moteus` library makes the same command, drives our controller and reads its answers."""

from __future__ import annotations

import math
import random

import moteus as library
from moteus import multiplex

from neon_edge.sim.moteus import EmulatedMoteus
from neon_edge.transport.protocol import moteus
from neon_edge.types import BusFrame
from tests.transport.families import robot_of
from tests.transport.inline import InlineRig


class Resolution(library.PositionResolution):
    """What our command frame uses."""

    position = velocity = multiplex.INT32
    feedforward_torque = kp_scale = kd_scale = multiplex.INT16
    maximum_torque = watchdog_timeout = multiplex.INT16


class Query(library.QueryResolution):
    """What our query asks for."""

    mode = position = velocity = torque = multiplex.INT32
    voltage = temperature = fault = multiplex.IGNORE


def compare(count: int, seed: int) -> int:
    """At least `count` frames. Gives how many; an assertion fails on a difference."""
    draw = random.Random(seed)
    rig = InlineRig(robot_of("moteus"))
    compared = 0
    while compared < count:
        motor = draw.randrange(3) + 1
        emulated = rig.body.motors[motor - 1]
        assert isinstance(emulated, EmulatedMoteus)
        controllers = [
            library.Controller(motor, Query(), Resolution(), transport=object()),
            library.Controller(motor, transport=object()),
        ]
        goal = tuple(round(draw.uniform(-b, b), 6) for b in (1.4, 8.0, 4.0))
        scales = (draw.random(), draw.random())
        most, timeout_s = draw.uniform(0, 5), draw.uniform(0.05, 2)
        theirs = controllers[0].make_position(
            position=goal[0] / math.tau,
            velocity=goal[1] / math.tau,
            feedforward_torque=goal[2],
            kp_scale=scales[0],
            kd_scale=scales[1],
            maximum_torque=most,
            watchdog_timeout=timeout_s,
            query=True,
        )
        ours = moteus.command(motor, goal, scales, most, timeout_s)
        _same_within_a_step(ours.payload, theirs.data)
        # Their frame is understood as ours is, and our answer by their parser.
        for controller in controllers:
            command = controller.make_position(
                position=goal[0] / math.tau, velocity=0.0, maximum_torque=most, query=True
            )
            compared += _exchange(rig, emulated, motor, bytes(command.data))
        stop = controllers[0].make_stop(query=True)
        compared += _exchange(rig, emulated, motor, bytes(stop.data)) + 1
        rig.clock.advance_ns(draw.randrange(30_000_000))
    return compared


def _same_within_a_step(ours: bytes, theirs: bytes) -> None:
    # The library truncates onto its steps, we round: compare what each frame says, and its shape.
    ours = ours[: len(theirs)]
    mine, other = moteus.parse(ours), moteus.parse(bytes(theirs))
    assert mine.values.keys() == other.values.keys()
    assert mine.asked == other.asked
    for register, value in mine.values.items():
        step = 0.0011 if register == moteus.Register.COMMAND_TIMEOUT else 0.011
        step = 1.1e-5 if register in (0x20, 0x21) else 4e-5 if register in (0x23, 0x24) else step
        assert abs(value - other.values[register]) <= step, (register, value)
    fixed = [0, 1, 2, 3, 4, 13, 14, 15, 24, 25, *range(28, len(ours))]
    assert [ours[k] for k in fixed] == [theirs[k] for k in fixed]


def _exchange(rig: InlineRig, emulated: EmulatedMoteus, motor: int, payload: bytes) -> int:
    sent = moteus.frame(moteus.arbitration(motor, reply=True), payload)
    rig.bus.send([sent])
    (answer,) = rig.bus.receive_ready()
    assert answer.fd
    values = _parsed(answer, motor)
    assert values[library.Register.MODE] == emulated.mode
    for register, truth, step in (
        (library.Register.POSITION, emulated.position / math.tau, 2e-5),
        (library.Register.VELOCITY, emulated.velocity / math.tau, 2e-5),
        (library.Register.TORQUE, emulated.torque, 2e-3),
    ):
        assert abs(values[register] - truth) <= step
    return 2


def _parsed(answer: BusFrame, motor: int) -> dict[int, float]:
    class Heard:
        arbitration_id = answer.arbitration_id
        data = answer.payload
        channel = bus = None

    result = library.moteus.make_parser(motor)(Heard())
    assert result.id == motor
    values: dict[int, float] = result.values
    return values
