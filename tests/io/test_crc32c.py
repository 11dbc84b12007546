"""CRC-32C against published vectors and against its definition, bit by bit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.io.crc32c import crc32c


def by_division(data: bytes) -> int:
    """Divide by the polynomial, highest bit first, with every byte and the result reflected."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= int(f"{byte:08b}"[::-1], 2) << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x1EDC6F41) & 0xFFFFFFFF if crc & 0x80000000 else crc << 1
    return int(f"{crc ^ 0xFFFFFFFF:032b}"[::-1], 2)


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        # RFC 3720, B.4, where the bytes stand in the order in which iSCSI sends them
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
    ],
)
def test_known_checksums(data: bytes, checksum: int) -> None:
    """The vectors that everyone checks with."""
    assert crc32c(data) == checksum
    assert by_division(data) == checksum


@given(st.binary(max_size=64))
def test_the_definition(data: bytes) -> None:
    """The table gives what long division gives."""
    assert crc32c(data) == by_division(data)
