"""`canopen`'s BaseNode402 walks our drive through its states, reads it, and shares our PDOs."""

from __future__ import annotations

import logging
import random
from typing import Any

import can
import canopen as library
from canopen.objectdictionary import ODRecord, ODVariable, datatypes
from canopen.profiles.p402 import BaseNode402

from neon_edge.sim.cia402 import EmulatedCia402
from neon_edge.transport.cia402_dialect import Cia402Dialect
from neon_edge.transport.exchange import CanExchange
from neon_edge.transport.protocol import canopen
from neon_edge.types import BusFrame
from tests.transport.families import robot_of
from tests.transport.inline import InlineRig

_TYPES = {
    1: datatypes.UNSIGNED8,
    2: datatypes.UNSIGNED16,
    4: datatypes.UNSIGNED32,
    -1: datatypes.INTEGER8,
    -2: datatypes.INTEGER16,
    -4: datatypes.INTEGER32,
}
NODE = 2


class Wire(can.BusABC):
    """What `canopen` takes for a python-can bus: our drives behind it, no thread."""

    def __init__(self, rig: InlineRig, network: library.Network) -> None:
        super().__init__("inline")
        self._rig = rig
        self._network = network
        self.sent: list[BusFrame] = []

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        frame = BusFrame(msg.arbitration_id, bytes(msg.data))
        self.sent.append(frame)
        self._rig.bus.send([frame])
        self.deliver()

    def deliver(self) -> None:
        for answer in self._rig.bus.receive_ready():
            self._network.notify(answer.arbitration_id, bytearray(answer.payload), 0.0)


def dictionary() -> library.ObjectDictionary:
    """The objects of our drive, as an EDS would describe them."""
    objects = library.ObjectDictionary()
    for entry, size in canopen.SIZES.items():
        index, sub = entry >> 8, entry & 0xFF
        if sub and index not in objects:
            objects.add_object(ODRecord(f"object {index:04X}", index))
        variable = ODVariable(f"{entry.name.lower()}", index, sub)
        variable.data_type = _TYPES[size]
        if sub:
            objects[index].add_member(variable)
        else:
            objects.add_object(variable)
    for base in (0x1400, 0x1800, 0x1801):
        parameters, mapping = ODRecord(f"p{base:X}", base), ODRecord(f"m{base:X}", base + 0x200)
        for sub, size in ((0, 1), (1, 4), (2, 1), (3, 2), (5, 2), (6, 1)):
            _member(parameters, base, sub, size)
        for sub in range(9):
            _member(mapping, base + 0x200, sub, 4 if sub else 1)
        objects.add_object(parameters)
        objects.add_object(mapping)
    return objects


def _member(record: ODRecord, index: int, sub: int, size: int) -> None:
    variable = ODVariable(f"sub {sub}", index, sub)
    variable.data_type = _TYPES[size]
    record.add_member(variable)


def compare(count: int, seed: int) -> int:
    """At least `count` frames. Gives how many; an assertion fails on a difference."""
    logging.getLogger("canopen").setLevel(logging.ERROR)
    draw = random.Random(seed)
    config = robot_of("cia402")
    rig = InlineRig(config, (0.1, -0.3, 0.7))
    exchange = CanExchange(rig.bus, config.joints, rig.clock)
    ours = Cia402Dialect(exchange, [joint.motor for joint in config.joints], 50.0)  # type: ignore[misc]
    ours.set_up()
    network = library.Network()
    wire = Wire(rig, network)
    network.bus = wire
    node: Any = BaseNode402(NODE, dictionary())
    network.add_node(node)
    node.nmt.state = "OPERATIONAL"
    # What we mapped is what they read back out of the drive.
    node.setup_402_state_machine(read_pdos=False)
    node.tpdo.read()
    node.rpdo.read()
    node._init_tpdo_values()
    drive = rig.body.motors[NODE - 1]
    assert isinstance(drive, EmulatedCia402)
    while len(wire.sent) < count:
        _walk(node, drive)
        _objects(node, drive, draw)
        _pdos(node, drive, draw, wire)
        rig.clock.advance_ns(draw.randrange(20_000_000))
    wire.shutdown()
    return len(wire.sent)


def _walk(node: Any, drive: EmulatedCia402) -> None:
    node.sdo[0x6060].raw = 8
    for state, ours in (
        ("READY TO SWITCH ON", canopen.State.READY_TO_SWITCH_ON),
        ("SWITCHED ON", canopen.State.SWITCHED_ON),
        ("OPERATION ENABLED", canopen.State.ENABLED),
        ("SWITCH ON DISABLED", canopen.State.SWITCH_ON_DISABLED),
    ):
        node.tpdo_values[0x6041] = node.sdo[0x6041].raw
        if node.state != state:
            node.sdo[0x6040].raw = node_word(node, state)
        node.tpdo_values[0x6041] = node.sdo[0x6041].raw
        assert node.state == state, (node.state, state)
        assert drive.state == ours == canopen.state_of(node.statusword)


def node_word(node: Any, state: str) -> int:
    """The control word that their own table has for the step."""
    from canopen.profiles.p402 import State402

    word: int = State402.TRANSITIONTABLE[(node.state, state)]
    return word


def _objects(node: Any, drive: EmulatedCia402, draw: random.Random) -> None:
    target = draw.randrange(-20_000, 20_000)
    node.sdo[0x607A].raw = target
    assert node.sdo[0x607A].raw == target
    assert node.sdo[0x6064].raw == round(drive.position * 65536 / 6.283185307179586)
    assert node.sdo[0x1000].raw & 0xFFFF == 402
    try:
        node.sdo.download(0x6041, 0, b"\0\0")
        raise AssertionError("the status word was written")
    except library.SdoAbortedError as refused:
        assert refused.code == 0x0601_0002


def _pdos(node: Any, drive: EmulatedCia402, draw: random.Random, wire: Wire) -> None:
    control, target, torque = 6, draw.randrange(-(2**31) + 1, 2**31), draw.randrange(-32767, 32768)
    pdo = node.rpdo[1]
    for variable, value in zip(pdo.map, (control, target, torque), strict=True):
        variable.raw = value
    pdo.transmit()
    assert wire.sent[-1] == canopen.command(NODE, control, target, torque)
    wire.send(can.Message(arbitration_id=canopen.SYNC, data=b"", is_extended_id=False))
    heard = [variable.raw for variable in node.tpdo[1].map]
    assert canopen.state_of(heard[0]) == drive.state
    assert heard[1] == round(drive.position * 65536 / 6.283185307179586)
    assert node.tpdo[2].map[0].raw == round(drive.velocity * 65536 / 6.283185307179586)
