"""`cantools`, with the published message table typed in DBC, makes and reads the same frames."""

from __future__ import annotations

import math
import random

import cantools

from neon_edge.sim.odrive import EmulatedOdrive
from neon_edge.transport.protocol import odrive
from neon_edge.transport.protocol.odrive import Command
from neon_edge.types import BusFrame
from tests.transport.families import robot_of
from tests.transport.inline import InlineRig

# docs.odriverobotics.com/v/latest/manual/can-protocol.html: byte and bit offsets as in its table.
TABLE = """VERSION ""
BU_: Host Axis
BO_ 1 Heartbeat: 8 Axis
 SG_ Axis_Error : 0|32@1+ (1,0) [0|0] "" Host
 SG_ Axis_State : 32|8@1+ (1,0) [0|0] "" Host
 SG_ Procedure_Result : 40|8@1+ (1,0) [0|0] "" Host
 SG_ Trajectory_Done : 48|8@1+ (1,0) [0|0] "" Host
BO_ 3 Get_Error: 8 Axis
 SG_ Active_Errors : 0|32@1+ (1,0) [0|0] "" Host
 SG_ Disarm_Reason : 32|32@1+ (1,0) [0|0] "" Host
BO_ 7 Set_Axis_State: 4 Host
 SG_ Axis_Requested_State : 0|32@1+ (1,0) [0|0] "" Axis
BO_ 9 Get_Encoder_Estimates: 8 Axis
 SG_ Pos_Estimate : 0|32@1- (1,0) [0|0] "rev" Host
 SG_ Vel_Estimate : 32|32@1- (1,0) [0|0] "rev/s" Host
BO_ 11 Set_Controller_Mode: 8 Host
 SG_ Control_Mode : 0|32@1+ (1,0) [0|0] "" Axis
 SG_ Input_Mode : 32|32@1+ (1,0) [0|0] "" Axis
BO_ 12 Set_Input_Pos: 8 Host
 SG_ Input_Pos : 0|32@1- (1,0) [0|0] "rev" Axis
 SG_ Vel_FF : 32|16@1- (0.001,0) [0|0] "rev/s" Axis
 SG_ Torque_FF : 48|16@1- (0.001,0) [0|0] "Nm" Axis
BO_ 13 Set_Input_Vel: 8 Host
 SG_ Input_Vel : 0|32@1- (1,0) [0|0] "rev/s" Axis
 SG_ Input_Torque_FF : 32|32@1- (1,0) [0|0] "Nm" Axis
BO_ 26 Set_Pos_Gain: 4 Host
 SG_ Pos_Gain : 0|32@1- (1,0) [0|0] "" Axis
BO_ 27 Set_Vel_Gains: 8 Host
 SG_ Vel_Gain : 0|32@1- (1,0) [0|0] "" Axis
 SG_ Vel_Integrator_Gain : 32|32@1- (1,0) [0|0] "" Axis
BO_ 28 Get_Torques: 8 Axis
 SG_ Torque_Target : 0|32@1- (1,0) [0|0] "Nm" Host
 SG_ Torque_Estimate : 32|32@1- (1,0) [0|0] "Nm" Host
SIG_VALTYPE_ 9 Pos_Estimate : 1;
SIG_VALTYPE_ 9 Vel_Estimate : 1;
SIG_VALTYPE_ 12 Input_Pos : 1;
SIG_VALTYPE_ 13 Input_Vel : 1;
SIG_VALTYPE_ 13 Input_Torque_FF : 1;
SIG_VALTYPE_ 26 Pos_Gain : 1;
SIG_VALTYPE_ 27 Vel_Gain : 1;
SIG_VALTYPE_ 27 Vel_Integrator_Gain : 1;
SIG_VALTYPE_ 28 Torque_Target : 1;
SIG_VALTYPE_ 28 Torque_Estimate : 1;
"""


def compare(count: int, seed: int) -> int:
    """At least `count` frames. Gives how many; an assertion fails on a difference."""
    draw = random.Random(seed)
    database = cantools.database.load_string(TABLE, "dbc")
    rig = InlineRig(robot_of("odrive"))
    compared = 0
    while compared < count:
        node = draw.randrange(3) + 1
        motor = rig.body.motors[node - 1]
        assert isinstance(motor, EmulatedOdrive)
        said = _to_the_axis(database, rig, draw, node)
        compared += said
        for command, names in (
            (Command.HEARTBEAT, ("Axis_Error", "Axis_State")),
            (Command.ESTIMATES, ("Pos_Estimate", "Vel_Estimate")),
            (Command.TORQUES, ("Torque_Target", "Torque_Estimate")),
        ):
            rig.bus.send([odrive.ask(node, command)])
            answers = [
                a for a in rig.bus.receive_ready() if a.arbitration_id == node << 5 | command
            ]
            heard = database.decode_message(command, answers[0].payload)
            gear = 8.0
            truth = {
                Command.HEARTBEAT: (motor.error, motor.state),
                Command.ESTIMATES: (
                    motor.position * gear / math.tau,
                    motor.velocity * gear / math.tau,
                ),
                Command.TORQUES: (motor.torque / gear, motor.torque / gear),
            }[command]
            for name, exact in zip(names, truth, strict=True):
                assert math.isclose(heard[name], exact, rel_tol=1e-6, abs_tol=1e-9)
            compared += 1
        rig.clock.advance_ns(draw.randrange(20_000_000))
    return compared


def _to_the_axis(
    database: cantools.database.Database, rig: InlineRig, draw: random.Random, node: int
) -> int:
    turns, speed, torque = (draw.uniform(-b, b) for b in (1.2, 20.0, 3.0))
    state, gain = draw.choice((odrive.IDLE, odrive.CLOSED_LOOP)), draw.uniform(0, 30)
    pairs = (
        (
            odrive.input_position(node, turns * math.tau, speed * math.tau, torque),
            ("Set_Input_Pos", {"Input_Pos": turns, "Vel_FF": speed, "Torque_FF": torque}),
        ),
        (
            odrive.words(node, Command.SET_STATE, state),
            ("Set_Axis_State", {"Axis_Requested_State": state}),
        ),
        (
            odrive.words(node, Command.SET_MODES, 3, 1),
            ("Set_Controller_Mode", {"Control_Mode": 3, "Input_Mode": 1}),
        ),
        (
            odrive.floats(node, Command.INPUT_VELOCITY, speed, torque),
            ("Set_Input_Vel", {"Input_Vel": speed, "Input_Torque_FF": torque}),
        ),
        (odrive.floats(node, Command.POSITION_GAIN, gain), ("Set_Pos_Gain", {"Pos_Gain": gain})),
        (
            odrive.floats(node, Command.VELOCITY_GAINS, gain, 0.0),
            ("Set_Vel_Gains", {"Vel_Gain": gain, "Vel_Integrator_Gain": 0.0}),
        ),
    )
    for ours, (name, values) in pairs:
        message = database.get_message_by_name(name)
        theirs = database.encode_message(name, values)
        assert ours.arbitration_id == node << 5 | message.frame_id
        if name == "Set_Input_Pos":
            # Radians and back cost the float's last bit; feed-forward steps are exact.
            assert (
                abs(
                    int.from_bytes(ours.payload[:4], "little")
                    - int.from_bytes(theirs[:4], "little")
                )
                <= 1
            )
            assert ours.payload[4:] == theirs[4:]
        else:
            assert ours.payload == theirs
        rig.bus.send([BusFrame(ours.arbitration_id, theirs)])
        rig.bus.receive_ready()
    return len(pairs)
