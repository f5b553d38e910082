"""CRC-16/UMTS (polynomial 0x8005, initial 0, not reflected), as Dynamixel Protocol 2.0 uses it."""

from __future__ import annotations


def _row(byte: int) -> int:
    remainder = byte << 8
    for _ in range(8):
        remainder = (remainder << 1) ^ (0x8005 if remainder & 0x8000 else 0)
    return remainder & 0xFFFF


_TABLE = tuple(_row(byte) for byte in range(256))


def crc16(payload: bytes | bytearray | memoryview, start: int = 0) -> int:
    """The remainder of `payload`; `start` continues an earlier one. Check("123456789") = 0xFEE8."""
    remainder = start
    for byte in payload:
        remainder = (remainder << 8 & 0xFFFF) ^ _TABLE[remainder >> 8 ^ byte]
    return remainder
