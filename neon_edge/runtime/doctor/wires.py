"""Checks of the devices that a robot file names: CAN interfaces and serial lines."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from typing import Any

import msgspec

from neon_edge.config import CanBus, RobotConfig, SerialBus
from neon_edge.runtime.doctor.check import Check, Machine
from neon_edge.transport.python_can import interfaces

QUEUE = 128
"""Frames: more than a burst to every motor of a large robot."""
LATENCY_MS = 1
ARPHRD_CAN = "280"
SETUP = "scripts/setup_can.sh"


def buses(robot: RobotConfig, machine: Machine) -> Iterator[Check]:
    """Rows for every bus of the robot."""
    for bus in robot.buses:
        if bus.channel == "sim" or bus.channel.startswith("unix:"):
            yield Check(f"bus {bus.name}", "ok", "emulated motors")
        elif isinstance(bus, CanBus) and ":" in bus.channel:
            yield from _adapter(bus, machine)
        elif isinstance(bus, CanBus):
            yield from _can(bus, machine)
        else:
            yield from _serial(bus, machine)


def _can(bus: CanBus, machine: Machine) -> Iterator[Check]:
    name, link = f"bus {bus.name}", bus.channel
    if machine.text(f"/sys/class/net/{link}/type") != ARPHRD_CAN:
        yield Check(
            name,
            "failed",
            f"there is no CAN interface {link}",
            "plug the adapter in, load its module, or correct the channel in the robot file",
        )
        return
    up = (machine.number(f"/sys/class/net/{link}/flags") or 0) & 1
    if not up:
        yield Check(name, "failed", f"{link} is down", f"{SETUP} (ip link set {link} up)")
        return
    yield Check(name, "ok", f"{link} is up")
    queue = machine.number(f"/sys/class/net/{link}/tx_queue_len") or 0
    if queue >= QUEUE:
        yield Check(f"{name} queue", "ok", f"{queue} frames")
    else:
        yield Check(
            f"{name} queue",
            "warning",
            f"{queue} frames: a burst to every motor overflows it",
            f"ip link set {link} txqueuelen 1000",
        )
    yield from _controller(bus, machine)


def _adapter(bus: CanBus, machine: Machine) -> Iterator[Check]:
    """What can be told of a python-can channel without opening it."""
    name = f"bus {bus.name}"
    interface, _, channel = bus.channel.partition(":")
    known = interfaces()
    if interface not in known:
        near = difflib.get_close_matches(interface, known, n=1)
        fix = f"did you mean {near[0]!r}?" if near else "see python-can's list of interfaces"
        yield Check(
            name,
            "failed",
            f"python-can has no interface {interface!r}" if known else "needs python-can",
            fix if known else "pip install 'neon-edge[can]'",
        )
    elif channel.startswith("/"):
        device = SerialBus(bus.name, channel.partition("@")[0])
        yield from _serial(device, machine)
    else:
        yield Check(name, "ok", f"python-can's {interface}, channel {channel}: opened when it runs")


def _controller(bus: CanBus, machine: Machine) -> Iterator[Check]:
    """What only netlink tells, asked of `ip`."""
    name, link = f"bus {bus.name}", bus.channel
    facts = _link_facts(machine, link)
    if facts is None:
        yield Check(
            f"{name} controller", "warning", "`ip -details` tells nothing", "install iproute2"
        )
        return
    state = str(facts.get("state", "unknown"))
    if state == "BUS-OFF":
        yield Check(
            f"{name} controller",
            "failed",
            f"{link} is bus-off: nobody acknowledged, or the bit rates differ",
            f"check wiring, termination and motor power; then {SETUP}",
        )
    rate = facts.get("bittiming", {}).get("bitrate")
    if rate is not None and rate != bus.bit_rate:
        yield Check(
            f"{name} bit rate",
            "failed",
            f"{link} runs at {rate} bit/s, the robot file says {bus.bit_rate}",
            f"{SETUP}, or correct bit_rate in the robot file",
        )
    if "bittiming" not in facts:
        return  # a virtual interface has no controller to restart
    restart_ms = facts.get("restart_ms", 0)
    if restart_ms:
        yield Check(f"{name} recovery", "ok", f"from bus-off after {restart_ms} ms")
    else:
        yield Check(
            f"{name} recovery",
            "warning",
            "restart-ms 0: once bus-off, off until somebody intervenes",
            f"ip link set {link} type can restart-ms 100 ({SETUP} does)",
        )


def _link_facts(machine: Machine, link: str) -> dict[str, Any] | None:
    told = machine.told("ip", "-details", "-json", "link", "show", link)
    if told is None:
        return None
    try:
        links = msgspec.json.decode(told, type=list[dict[str, Any]])
    except msgspec.MsgspecError:
        return None
    facts = links[0].get("linkinfo", {}).get("info_data", {}) if links else {}
    return facts if isinstance(facts, dict) else None


def _serial(bus: SerialBus, machine: Machine) -> Iterator[Check]:
    name, device = f"bus {bus.name}", machine.path(bus.channel)
    if not device.exists():
        yield Check(
            name,
            "failed",
            f"there is no {bus.channel}",
            "plug the adapter in, or correct the channel; /dev/serial/by-id/… never changes names",
        )
        return
    if not os.access(device, os.R_OK | os.W_OK):
        yield Check(
            name,
            "failed",
            f"{bus.channel} is not yours to use",
            "sudo usermod -aG dialout $USER, then log in again",
        )
        return
    yield Check(name, "ok", f"{bus.channel} is there")
    tty = device.resolve().name
    timer = machine.number(f"/sys/bus/usb-serial/devices/{tty}/latency_timer")
    if timer is None:
        return  # only FTDI's adapters have the knob
    if timer <= LATENCY_MS:
        yield Check(f"{name} latency timer", "ok", f"{timer} ms")
    else:
        yield Check(
            f"{name} latency timer",
            "warning",
            f"{timer} ms: every read may wait that long",
            f"echo 1 | sudo tee /sys/bus/usb-serial/devices/{tty}/latency_timer, or a udev rule",
        )
