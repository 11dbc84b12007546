"""Stamps: what makes each payload another one, and tells whose it is.

Next: `speedo_trio.cli.bench.mqtt.numbers`.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

_FORM = Struct(">QII")
STAMP_BYTES = _FORM.size


class Stamp(NamedTuple):
    """When a message was given to the kernel, in nanoseconds; whose it is, and its number."""

    sent: int
    publisher: int
    number: int


class Payloads:
    """Payloads of one size: a stamp, and a filling that is always the same."""

    def __init__(self, size: int) -> None:
        """Args: in bytes, at least `STAMP_BYTES`."""
        letters = b"abcdefghijklmnopqrstuvwxyz"
        self._filling = (letters * (size // len(letters) + 1))[: size - STAMP_BYTES]
        self._size = size

    def make(self, sent: int, publisher: int, number: int) -> bytes:
        """The payload with this stamp."""
        return _FORM.pack(sent, publisher, number) + self._filling

    def read(self, payload: bytes) -> Stamp | None:
        """Its stamp; None when it is not one of these."""
        if len(payload) != self._size or not payload.endswith(self._filling):
            return None
        return Stamp(*_FORM.unpack_from(payload))
