"""Tokens through the slot: as many as there are, whole or not at all, of the same backbone."""

from pathlib import Path

import numpy as np
import pytest

from neon_edge.errors import ConfigWrong
from neon_edge.features.slot import SLOTS, SlotReader, SlotWriter, create_slot
from neon_edge.types import Float32
from tests.features.racing import read_beside_a_writer

MODEL = 7
WIDTH, ROWS = 64, 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    slot = tmp_path / "features.slot"
    create_slot(slot, WIDTH, ROWS)
    return slot


def made(value: float, count: int) -> tuple[Float32, Float32]:
    return np.full(WIDTH, value, np.float32), np.full((count, WIDTH), value, np.float32)


def test_as_many_as_were_published_are_read(path: Path) -> None:
    random = np.random.default_rng(0)
    with SlotWriter(path, MODEL) as writer, SlotReader(path, MODEL) as reader:
        for count in (ROWS, 1, 17, ROWS):
            pooled, tokens = (
                random.standard_normal(s, np.float32) for s in (WIDTH, (count, WIDTH))
            )
            writer.publish(pooled, 1, 2, 3, tokens)
            features = reader.latest()
            assert features is not None and features.tokens is not None
            assert np.array_equal(features.pooled, pooled)
            assert np.array_equal(features.tokens, tokens)


def test_the_size_of_four_of_them_is_what_is_stated(tmp_path: Path) -> None:
    create_slot(tmp_path / "slot", 2048, 160)
    found = (tmp_path / "slot").stat()
    assert found.st_size / SLOTS == pytest.approx(161 * 2048 * 4, abs=128)
    assert found.st_blocks * 512 >= found.st_size


def test_the_last_ones_stay_while_the_next_are_read(path: Path) -> None:
    with SlotWriter(path, MODEL) as writer, SlotReader(path, MODEL) as reader:
        writer.publish(*made(1, 0)[:1], 1, 1, tokens=made(1, ROWS)[1])
        first = reader.latest()
        assert first is not None and first.tokens is not None
        writer.publish(made(2, 0)[0], 2, 2, tokens=made(2, 3)[1])
        second = reader.latest()
        assert second is not None and second.tokens is not None
        assert (first.tokens == 1).all() and (second.tokens == 2).all()
        # Refused ones are read into the other place, again and again.
        broken = made(3, 5)
        broken[0][3] = np.nan
        for _ in range(3):
            writer.publish(broken[0], 3, 3, tokens=broken[1])
            assert reader.latest() is second
        assert (second.tokens == 2).all() and reader.not_finite == 3


@pytest.mark.parametrize(
    "tokens",
    [None, made(1, 0)[1], made(1, ROWS + 1)[1], np.zeros((3, WIDTH + 1), np.float32)],
    ids=["none", "no row", "too many", "too wide"],
)
def test_what_does_not_fit_is_not_published(path: Path, tokens: Float32 | None) -> None:
    with SlotWriter(path, MODEL) as writer, SlotReader(path, MODEL) as reader:
        with pytest.raises(ConfigWrong, match="tokens do not fit"):
            writer.publish(made(1, 0)[0], 1, 1, tokens=tokens)
        assert reader.latest() is None


def test_a_slot_without_rows_takes_none(tmp_path: Path) -> None:
    create_slot(tmp_path / "slot", WIDTH)
    with (
        SlotWriter(tmp_path / "slot", MODEL) as writer,
        SlotReader(tmp_path / "slot", MODEL) as reader,
    ):
        with pytest.raises(ConfigWrong, match="tokens do not fit"):
            writer.publish(made(1, 0)[0], 1, 1, tokens=made(1, 1)[1])
        writer.publish(made(1, 0)[0], 1, 1)
        features = reader.latest()
        assert features is not None and features.tokens is None


@pytest.mark.parametrize("offset", [0, 40, 44, 48, 48 + 4 * WIDTH, 48 + 4 * WIDTH * 9])
def test_one_flipped_bit_in_what_is_used_is_noticed(path: Path, offset: int) -> None:
    with SlotWriter(path, MODEL) as writer:
        writer.publish(made(1, 0)[0], 1, 1, tokens=made(1, 9)[1])
        size = (path.stat().st_size - 64) // SLOTS
        raw = bytearray(path.read_bytes())
        raw[64 + size + offset] ^= 0x40
        path.write_bytes(raw)
        with SlotReader(path, MODEL) as reader:
            assert reader.latest() is None
            assert reader.torn == 1


def _flat(number: int) -> tuple[Float32, Float32]:
    return made(number, 1 + number % ROWS)


def test_no_torn_tokens_are_accepted_beside_a_writer_at_full_speed(path: Path) -> None:
    read = 0
    for features in read_beside_a_writer(path, MODEL, _flat):
        read += 1
        value = features.captured_ns
        assert features.tokens is not None and len(features.tokens) == 1 + value % ROWS
        assert (features.tokens == value).all() and (features.pooled == value).all()
    assert read > 100
