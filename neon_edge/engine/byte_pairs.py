"""A byte-level BPE vocabulary as a table: what each token id spells, in bytes.

Read once, so that a tick that turns ids into bytes only looks them up: no tokenizer runs in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from neon_edge.errors import ConfigWrong


class BytePairs:
    """The vocabulary of a tokenizer.json whose model is BPE over bytes. Raises `ConfigWrong`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tokenizer = _open(path)
        _check_byte_level(path, json.loads(self._tokenizer.to_str()))
        self.spelt: list[bytes | None] = _spelt(path, self._tokenizer)
        """By id; None for added tokens, which stand for no coefficient."""

    def __len__(self) -> int:
        return len(self.spelt)

    def ids(self, text: str) -> list[int]:
        """The tokens of `text`. For training and tests: it runs the tokenizer."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def joined(self, ids: list[int]) -> str | None:
        """What `ids` spell together; None where an id is unknown or the bytes are no UTF-8."""
        pieces = [self.spelt[one] if 0 <= one < len(self.spelt) else None for one in ids]
        if None in pieces:
            return None
        try:
            return b"".join(piece for piece in pieces if piece is not None).decode("utf-8")
        except UnicodeDecodeError:
            return None

    def characters(self) -> list[int]:
        """How many characters each token begins: over a whole text, how many there are."""
        # UTF-8's continuation bytes are 10xxxxxx; all others begin a character.
        return [sum(byte & 0xC0 != 0x80 for byte in piece or b"") for piece in self.spelt]


def _open(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as failure:  # the library raises nothing narrower
        raise ConfigWrong(
            "the action tokenizer cannot be read",
            f"{path}: {' '.join(str(failure).split())[:200]}",
            "copy tokenizer.json that was published or trained with the heads",
        ) from failure


def _check_byte_level(path: Path, text: dict[str, Any]) -> None:
    model, before, after = (text.get(key) or {} for key in ("model", "pre_tokenizer", "decoder"))
    wanted = {
        "model": (model.get("type"), "BPE"),
        "pre_tokenizer": (before.get("type"), "ByteLevel"),
        "decoder": (after.get("type"), "ByteLevel"),
        "add_prefix_space": (bool(before.get("add_prefix_space")), False),
        "normalizer": (text.get("normalizer"), None),
        "dropout": (model.get("dropout"), None),
        "unk_token": (model.get("unk_token"), None),
    }
    wrong = [
        f"{key} {found!r}, not {due!r}" for key, (found, due) in wanted.items() if found != due
    ]
    if wrong:
        raise ConfigWrong(
            "this tokenizer does not spell action coefficients",
            f"{path}: {'; '.join(wrong)}",
            "FAST is byte-level BPE without a normaliser; use the tokenizer of the heads",
        )


def _spelt(path: Path, tokenizer: Tokenizer) -> list[bytes | None]:
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    added = set(tokenizer.get_added_tokens_decoder())
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise ConfigWrong(
            "the action tokenizer's ids have gaps",
            f"{path}: {len(vocabulary)} tokens, largest id {max(vocabulary.values(), default=-1)}",
            "train it again",
        )
    byte_of = {character: byte for byte, character in enumerate(_printable())}
    spelt: list[bytes | None] = [None] * len(vocabulary)
    for token, at in vocabulary.items():
        if at not in added:
            spelt[at] = _bytes_of(token, byte_of)
    return spelt


def _bytes_of(token: str, byte_of: dict[str, int]) -> bytes:
    # A token with a character that stands for no byte means itself: the published trainer puts
    # such ones, never merged, into its alphabet.
    if all(character in byte_of for character in token):
        return bytes(byte_of[character] for character in token)
    return token.encode("utf-8")


def _printable() -> list[str]:
    """The character that stands for each byte in byte-level BPE (openai/gpt-2 src/encoder.py).

    Bytes that Latin-1 prints stand for themselves, the others for 256, 257, ... in turn.
    """
    alike = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in alike]
    shifted = {byte: 256 + place for place, byte in enumerate(others)}
    return [chr(shifted.get(byte, byte)) for byte in range(256)]
