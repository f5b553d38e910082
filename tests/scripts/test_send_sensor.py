"""The example sender spells the protocol by itself: to the byte what our own encoder makes."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neon_edge.transport.protocol.sealed import Head
from neon_edge.transport.protocol.values import ValuesDecoder, encode_values
from tests.conftest import ROOT

SCRIPT = ROOT / "scripts" / "send_sensor.py"


def test_its_bytes_are_ours() -> None:
    spec = importlib.util.spec_from_file_location("send_sensor", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    head, numbers = Head(2**32 - 1, 3, 2**40), [0.1, -2.5, 1e-30]
    assert script.reading(*head, numbers) == encode_values(head, numbers)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_it_says_a_new_reading_each_time(family: socket.AddressFamily, tmp_path: Path) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / "s.sock"))
        listener.settimeout(30)
        name = listener.getsockname()
        where = f"{name[0]}:{name[1]}" if family == socket.AF_INET else name
        sender = subprocess.Popen([sys.executable, str(SCRIPT), where, "6", "--hz", "200"])
        try:
            heard = [ValuesDecoder(6)(listener.recv(100)) for _ in range(3)]
        finally:
            sender.kill()
            sender.wait()
    assert all(each is not None for each in heard)
    one, two, three = (each for each in heard if each is not None)
    assert (two.sequence - one.sequence, three.sequence - two.sequence) == (1, 1)
    assert one.session == two.session
    assert one.at_ns < two.at_ns < three.at_ns
    assert np.abs(one.numbers).max() <= 1
