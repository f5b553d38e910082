"""A recording in parts: a stranger's reader opens each, and together they are the whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcap.reader import make_reader

from neon_edge.errors import UsageWrong
from neon_edge.telemetry.parts import PartedFile, following, part_path, unused_parts
from neon_edge.telemetry.recording import Channel, Message, Recorded

CHANNELS = [
    Channel("/number", "number", {"type": "object", "properties": {"value": {"type": "number"}}}),
    Channel("/rows", "", None, {"fields": "number:i8"}),
]
CHUNK = 2048
MOST = 8192
MESSAGES = [
    Message(("/number", "/rows")[at % 2], 1000 + at, b'{"value": %d, "more": %d}' % (at, at**11))
    for at in range(4000)
]


def written(path: Path, most_bytes: int = MOST) -> PartedFile:
    file = PartedFile(path, CHANNELS, {"run": {"robot": "sim"}}, CHUNK, most_bytes)
    for at, message in enumerate(MESSAGES):
        file.add(message)
        if at % 50 == 0:
            file.sync()
    return file


def test_each_part_opens_alone_and_all_of_them_are_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    written(path).close()
    parts = [path, *following(path)]
    assert parts == [path, *(tmp_path / f"a.{n}.mcap" for n in range(1, len(parts)))]
    assert len(parts) > 3
    assert not list(tmp_path.glob("*.part"))
    found: list[Message] = []
    for number, part in enumerate(parts):
        with part.open("rb") as file:
            reader = make_reader(file, validate_crcs=True)
            summary = reader.get_summary()
            assert summary is not None
            assert {channel.topic for channel in summary.channels.values()} == {"/number", "/rows"}
            about = {record.name: record.metadata for record in reader.iter_metadata()}
            assert about["run"] == {"robot": "sim"}
            assert about["part"] == {"number": str(number), "first": "a.mcap"}
            found += [
                Message(channel.topic, message.log_time, message.data)
                for _, channel, message in reader.iter_messages()
            ]
        # What is written between two looks, a chunk under way and the index come on top.
        assert MOST <= part.stat().st_size < 2 * MOST or part == parts[-1]
    assert found == MESSAGES
    together = Recorded(path, following(path))
    assert list(together.messages()) == MESSAGES
    assert together.metadata["part"]["number"] == "0"
    assert together.cut_short == ""


def test_without_a_limit_there_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    written(path, most_bytes=0).close()
    assert following(path) == []
    assert list(tmp_path.iterdir()) == [path]
    recorded = Recorded(path)
    assert list(recorded.messages()) == MESSAGES
    assert "part" not in recorded.metadata


def test_after_a_power_cut_the_parts_before_the_last_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    file = written(path)
    file.abandon()
    *whole, last = following(path)
    assert last.name.endswith(".mcap.part")
    assert all(part.suffix == ".mcap" for part in whole)
    found = list(Recorded(path, following(path)).messages())
    assert found == MESSAGES[: len(found)]
    assert len(found) > 0.8 * len(MESSAGES)


def test_parts_of_another_recording_are_never_joined_nor_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    assert unused_parts(path) == path
    (tmp_path / "a.7.mcap.part").touch()
    assert unused_parts(path) == tmp_path / "a-1.mcap"
    (tmp_path / "a-1.mcap").touch()
    assert unused_parts(path) == tmp_path / "a-2.mcap"
    (tmp_path / "b.note.mcap").touch()
    assert unused_parts(tmp_path / "b.mcap") == tmp_path / "b.mcap"
    assert part_path(path, 0) == path
    with pytest.raises(UsageWrong, match="smaller than nothing"):
        PartedFile(path, CHANNELS, {}, CHUNK, -1)
