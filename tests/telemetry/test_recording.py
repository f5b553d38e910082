"""Recordings: what a stranger's reader sees in them, and what is left of one that was cut short."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader

from neon_edge.errors import ConfigWrong, UsageWrong
from neon_edge.telemetry.recording import Channel, Message, Recorded, RecordingFile, unused

NUMBER = {"type": "object", "properties": {"value": {"type": "number"}}}
CHANNELS = [
    Channel("/number", "number", NUMBER),
    Channel("/rows", "", None, {"fields": "number:i8"}),
]
CHUNK = 4096


def numbers(count: int) -> list[Message]:
    return [Message("/number", 1000 + at, b'{"value": %d}' % at) for at in range(count)]


def recorded(path: Path, messages: list[Message]) -> Path:
    file = RecordingFile(path, CHANNELS, {"run": {"robot": "sim"}}, CHUNK)
    for message in messages:
        file.add(message)
    file.sync()
    file.close()
    return path


def test_the_format_s_own_reader_finds_every_message_by_topic(tmp_path: Path) -> None:
    rows = [Message("/rows", 5000 + at, bytes([at, 0, 255])) for at in range(7)]
    path = recorded(tmp_path / "a.mcap", [*numbers(500), *rows])
    assert not list(tmp_path.glob("*.part"))
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        assert summary.statistics.message_count == 507
        assert summary.statistics.chunk_count > 1
        seen = list(reader.iter_messages(topics=["/number"]))
        assert [json.loads(message.data)["value"] for _, _, message in seen] == list(range(500))
        schema = seen[0][0]
        assert schema is not None
        assert (schema.encoding, json.loads(schema.data)) == ("jsonschema", NUMBER)
        assert seen[0][1].message_encoding == "json"
        assert [m.data for _, _, m in reader.iter_messages(topics=["/rows"])] == [
            message.payload for message in rows
        ]
    ours = Recorded(path)
    assert list(ours.messages()) == [*numbers(500), *rows]
    assert (ours.metadata, ours.cut_short) == ({"run": {"robot": "sim"}}, "")
    assert ours.channels["/rows"] == {"fields": "number:i8"}


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0.02, 0.999))
def test_a_file_cut_anywhere_gives_all_up_to_its_last_whole_chunk(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    path = recorded(tmp_path_factory.mktemp("cut") / "a.mcap", numbers(2000))
    raw = path.read_bytes()
    path.write_bytes(raw[: max(200, round(share * len(raw)))])
    ours = Recorded(path)
    found = list(ours.messages())
    assert found == numbers(2000)[: len(found)]
    assert ours.cut_short


def test_a_crash_costs_no_more_than_the_chunk_under_way(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "a.mcap", CHANNELS, {"run": {}}, CHUNK)
    for message in numbers(2000):
        file.add(message)
    file._file.flush()  # and then the power goes
    found = list(Recorded(tmp_path / "a.mcap.part").messages())
    bytes_lost = sum(len(message.payload) + 31 for message in numbers(2000)[len(found) :])
    assert 0 < bytes_lost <= CHUNK
    file.close()


def test_a_crash_behind_a_sync_costs_nothing_that_was_ahead_of_it(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "a.mcap", CHANNELS, {"run": {}}, CHUNK)
    for count in (1, 3):
        for message in numbers(4)[count - 1 : count + 1]:
            file.add(message)
        file.sync()
        file.sync()
        assert list(Recorded(tmp_path / "a.mcap.part").messages()) == numbers(count + 1)
    file.close()
    assert list(Recorded(tmp_path / "a.mcap").messages()) == numbers(4)


def test_what_a_flipped_bit_touched_is_not_believed(tmp_path: Path) -> None:
    whole = recorded(tmp_path / "whole.mcap", numbers(2000)).read_bytes()
    path = tmp_path / "a.mcap"
    noticed = 0
    places = range(600, len(whole) // 2, 401)
    for place in places:
        raw = bytearray(whole)
        raw[place] ^= 0x10
        path.write_bytes(raw)
        ours = Recorded(path)
        found = list(ours.messages())
        # Indexes have no CRC and nothing here trusts them; messages have one.
        assert found == numbers(2000)[: len(found)]
        noticed += bool(ours.cut_short)
    assert noticed > len(places) // 5


def test_no_recording_is_ever_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    assert unused(path) == path
    recorded(path, numbers(1))
    assert unused(path) == tmp_path / "a-1.mcap"
    (tmp_path / "a-1.mcap.part").touch()
    assert unused(path) == tmp_path / "a-2.mcap"
    with pytest.raises(UsageWrong, match="cannot be made"):
        RecordingFile(tmp_path / "a-1.mcap", CHANNELS, {}, CHUNK)
    with pytest.raises(UsageWrong, match="cannot be made"):
        RecordingFile(tmp_path / "absent" / "a.mcap", CHANNELS, {}, CHUNK)


@pytest.mark.parametrize("content", [b"", b"\x89MCAP0\r\n", b"no recording at all" * 9])
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(content)
    with pytest.raises(ConfigWrong, match="is not a recording"):
        list(Recorded(path).messages())
