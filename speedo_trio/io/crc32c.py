"""CRC-32C: the checksum of a PROXY header (RFC 4960, appendix B)."""

from __future__ import annotations

_CASTAGNOLI = 0x82F63B78
"""The polynomial 0x1EDC6F41, its lowest bit first."""


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_CASTAGNOLI if byte & 1 else 0)
    return byte


_REMAINDERS = tuple(map(_remainder, range(256)))


def crc32c(data: bytes) -> int:
    """The data's checksum; ``b"123456789"`` has 0xE3069283."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _REMAINDERS[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
