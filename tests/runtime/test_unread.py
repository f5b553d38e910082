"""A backbone that no word reaches: whoever speaks to the robot hears so."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from neon_edge.clock import FakeClock
from neon_edge.config import load_robot
from neon_edge.engine.manifest import Manifest
from neon_edge.engine.streams import Rates, Streams
from neon_edge.features.slot import create_slot
from neon_edge.runtime.conversation import Conversation
from neon_edge.runtime.events import EventLog
from neon_edge.runtime.instructions import Listener
from neon_edge.runtime.requests import Reply, socket_path
from neon_edge.runtime.spec import RunSpec
from neon_edge.runtime.supervisor import Supervisor
from tests.engine.machines import manifest_of


def example() -> Manifest:
    """Whole, of a backbone that reads."""
    manifest = manifest_of()
    hashed = structs.replace(manifest.backbone, model_hash="00000000000000ab")
    return structs.replace(manifest, backbone=hashed)


def test_words_that_reach_no_features_are_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    manifest = example()
    spec = RunSpec(robot=load_robot("sim"), plans="", directory=str(tmp_path), heads=[])
    create_slot(spec.slot, manifest.backbone.pooled_width)
    listener = Listener(spec.instruction_wanted, spec.instruction_in_use, lambda _: 7)
    for kept, done in ({"video": 512, "audio": 0, "text": 0}, False), ({"text": 9}, True):
        streams = Streams(Rates(), kept)
        backbone = structs.replace(manifest.backbone, streams=streams)
        clock = FakeClock()
        events = EventLog(logging.getLogger("test"), clock)
        conversation = Conversation(
            spec, structs.replace(manifest, backbone=backbone), events, clock, {}
        )
        caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        caller.settimeout(5)
        caller.connect(str(socket_path(spec.path)))
        caller.send(b'{"ask":"say","text":"wave"}')
        conversation.look("running", 0, "")
        listener.look()
        conversation.look("running", 0, "")
        reply = msgspec.json.decode(caller.recv(65536), type=Reply)
        caller.close()
        assert reply.done is done
        if not done:
            assert "no instruction reaches" in reply.wrong
            assert manifest.backbone.recipe in reply.facts
            assert "budget" in reply.fix
        conversation.close()


def test_a_run_says_at_its_beginning_that_its_instruction_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    manifest = example()
    streams = Streams(Rates(), {"video": 512, "audio": 0, "text": 0})
    deaf = structs.replace(manifest, backbone=structs.replace(manifest.backbone, streams=streams))
    for made, warned in ((deaf, True), (manifest, False)):
        directory = tmp_path / str(warned)
        directory.mkdir()
        spec = RunSpec(robot=load_robot("sim"), plans="", directory=str(directory), heads=[])
        supervisor = Supervisor(spec, made, lambda _: None)
        assert any("no instruction reaches" in text for text in supervisor.warnings) is warned
        supervisor._conversation.close()
