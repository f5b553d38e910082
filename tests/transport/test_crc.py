from neon_edge.transport.protocol.crc import crc16


def test_the_catalogue_check_value() -> None:
    # CRC-16/UMTS in Greg Cook's catalogue of parametrised CRC algorithms.
    assert crc16(b"123456789") == 0xFEE8


def test_it_can_be_continued() -> None:
    assert crc16(b"6789", crc16(b"12345")) == crc16(b"123456789")
