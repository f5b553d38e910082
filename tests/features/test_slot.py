"""The slot gives what was published, whole, from the right backbone, or what it gave before."""

import struct
from pathlib import Path

import numpy as np
import pytest

from neon_edge.errors import ConfigWrong, UsageWrong
from neon_edge.features.slot import SLOTS, SlotReader, SlotWriter, create_slot
from tests.features.racing import read_beside_a_writer

MODEL = 0x1234_5678_9ABC_DEF0
WIDTH = 2048


@pytest.fixture
def path(tmp_path: Path) -> Path:
    slot = tmp_path / "features.slot"
    create_slot(slot, WIDTH)
    return slot


def pooled(value: float) -> np.ndarray:
    return np.full(WIDTH, value, dtype=np.float32)


def test_its_memory_is_there_before_anybody_touches_it(path: Path) -> None:
    found = path.stat()
    assert found.st_blocks * 512 >= found.st_size


def test_nothing_before_the_first_publication(path: Path) -> None:
    with SlotReader(path, MODEL) as reader:
        assert reader.latest() is None


def test_what_is_published_is_read_with_its_times_and_instruction(path: Path) -> None:
    with SlotWriter(path, MODEL) as writer, SlotReader(path, MODEL) as reader:
        values = np.arange(WIDTH, dtype=np.float32)
        writer.publish(values, captured_ns=11, published_ns=22, instruction_id=33)
        features = reader.latest()
        assert features is not None
        assert np.array_equal(features.pooled, values)
        assert (features.captured_ns, features.published_ns) == (11, 22)
        assert (features.sequence, features.instruction_id) == (1, 33)


def test_newest_wins_and_old_features_are_never_rewritten(path: Path) -> None:
    with SlotWriter(path, MODEL) as writer, SlotReader(path, MODEL) as reader:
        writer.publish(pooled(1), 1, 1)
        first = reader.latest()
        for value in range(2, 3 * SLOTS):
            writer.publish(pooled(value), value, value)
        newest = reader.latest()
        assert first is not None
        assert newest is not None
        assert newest.pooled[0] == 3 * SLOTS - 1
        assert first.pooled[0] == 1


def test_features_of_another_backbone_are_refused_and_counted_once(path: Path) -> None:
    with SlotReader(path, MODEL) as reader:
        with SlotWriter(path, MODEL) as writer:
            writer.publish(pooled(1), 1, 1)
        good = reader.latest()
        with SlotWriter(path, MODEL ^ 1) as writer:
            writer.publish(pooled(2), 2, 2)
        assert reader.latest() is good
        assert reader.latest() is good
        assert reader.foreign == 1


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused(path: Path, poison: float) -> None:
    with SlotWriter(path, MODEL) as writer, SlotReader(path, MODEL) as reader:
        writer.publish(pooled(1), 1, 1)
        good = reader.latest()
        bad = pooled(2)
        bad[777] = poison
        writer.publish(bad, 2, 2)
        assert reader.latest() is good
        assert reader.not_finite == 1


@pytest.mark.parametrize("offset", [0, 8, 16, 24, 32, 40, 44, 48, 4000])
def test_one_flipped_bit_anywhere_in_a_slot_is_noticed(path: Path, offset: int) -> None:
    with SlotWriter(path, MODEL) as writer:
        writer.publish(pooled(1), 1, 1)
        slot_at = 64 + (1 % SLOTS) * ((len(path.read_bytes()) - 64) // SLOTS)
        raw = bytearray(path.read_bytes())
        raw[slot_at + offset] ^= 0x40
        path.write_bytes(raw)
        with SlotReader(path, MODEL) as reader:
            assert reader.latest() is None
            assert reader.torn == 1


def test_a_restarted_writer_counts_on(path: Path) -> None:
    with SlotReader(path, MODEL) as reader:
        for value in (1, 2):
            with SlotWriter(path, MODEL) as writer:
                writer.publish(pooled(value), value, value)
            features = reader.latest()
            assert features is not None
            assert features.sequence == value


def test_two_writers_are_one_too_many(path: Path) -> None:
    with SlotWriter(path, MODEL), pytest.raises(UsageWrong, match="another backbone"):
        SlotWriter(path, MODEL)


def test_wrong_width_and_foreign_files_are_refused(path: Path) -> None:
    with SlotWriter(path, MODEL) as writer, pytest.raises(ConfigWrong, match="width"):
        writer.publish(np.zeros(WIDTH + 1, dtype=np.float32), 1, 1)
    path.write_bytes(struct.pack("<4s60x", b"NOPE"))
    with pytest.raises(ConfigWrong, match="not a feature slot"):
        SlotReader(path, MODEL)


def _flat(number: int) -> tuple[np.ndarray, None]:
    return np.full(WIDTH, number, np.float32), None


def test_no_torn_read_is_accepted_beside_a_writer_at_full_speed(path: Path) -> None:
    read = 0
    for features in read_beside_a_writer(path, MODEL, _flat):
        read += 1
        assert (features.pooled == features.pooled[0]).all()
        assert features.captured_ns == int(features.pooled[0])
    # Where both share a core, they take turns of milliseconds.
    assert read > 20
