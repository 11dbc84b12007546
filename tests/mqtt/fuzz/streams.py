"""Streams of bytes that clients might send: sessions out of the corpus, most of them spoiled.

Next: `tests.mqtt.fuzz.worlds`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, TypeAlias

from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.fuzz.corpus import connects, ends, requests

Dice: TypeAlias = Callable[[], float]
"""Gives a number from 0 to 1, as often as it is called."""

CONNECTS: Final = {version: connects(version) for version in Version}
REQUESTS: Final = {version: requests(version) for version in Version}
ENDS: Final = {version: ends(version) for version in Version}
ALL: Final = [each for of in (CONNECTS, REQUESTS, ENDS) for pool in of.values() for each in pool]
VERSIONS: Final = (Version.MQTT_5_0, Version.MQTT_5_0, Version.MQTT_3_1_1, Version.MQTT_3_1)

VALID: Final = 0.2
"""Of the streams are not spoiled, so that there is something to be disturbed."""
SPOILED_PACKETS: Final = 0.25
"""Of the others have packets where they don't belong; the rest have wrong bytes."""
MOST_REQUESTS: Final = 8
ON: Final = 0.45
"""The part of the streams that goes on after each packet."""
_SIGNIFICANT: Final = (0x00, 0x01, 0x7F, 0x80, 0x81, 0xFF, 0x10, 0x30, 0x82, 0xE0)


class Streams:
    """Makes streams, the same ones for the same seed."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)
        self.dice: Final[Dice] = self._random.random
        self._before = ALL[0]

    def next(self) -> bytes:
        """One stream, from a connection's opening on."""
        dice = self.dice
        version = VERSIONS[int(dice() * 4)]
        pool = CONNECTS[version]
        parts = [pool[int(dice() * len(pool))]]
        self._ask(parts, version)
        return self._spoiled(parts, len(parts[0]))

    def more(self, version: Version) -> bytes:
        """What a client sends that is connected."""
        parts: list[bytes] = []
        self._ask(parts, version)
        return self._spoiled(parts, 0)

    def _ask(self, parts: list[bytes], version: Version) -> None:
        """Add packets of a client that is connected."""
        dice, pool = self.dice, REQUESTS[version]
        for _ in range(MOST_REQUESTS):
            parts.append(pool[int(dice() * len(pool))])
            if dice() > ON:
                break
        if dice() < 0.1:
            pool = ENDS[version]
            parts.append(pool[int(dice() * len(pool))])

    def _spoiled(self, parts: list[bytes], first: int) -> bytes:
        dice = self.dice
        kind = dice()
        if kind < VALID:
            self._before = b"".join(parts)
            return self._before
        if kind < VALID + (1 - VALID) * SPOILED_PACKETS:
            PACKET_MUTATIONS[int(dice() * len(PACKET_MUTATIONS))](parts, dice)
            if dice() < 0.5:
                return b"".join(parts)
        data = bytearray(b"".join(parts))
        self.spoil(data, first)
        return bytes(data)

    def spoil(self, data: bytearray, first: int) -> None:
        """Change bytes, mostly of those behind the first packet: else few get as far as that."""
        dice = self.dice
        while data:
            size = len(data)
            low = first if first < size and dice() < 0.7 else 0
            at = low + int(dice() * (size - low))
            kind = dice()
            if kind < 0.9:
                BYTE_MUTATIONS[int(kind / 0.9 * len(BYTE_MUTATIONS))](data, at, dice)
            else:
                data[at:] = self._before[int(dice() * len(self._before)) :]
            if dice() < 0.7:
                break


# Bytes


def _flip(data: bytearray, at: int, dice: Dice) -> None:
    data[at] ^= 1 << int(dice() * 8)


def _set(data: bytearray, at: int, dice: Dice) -> None:
    data[at] = int(dice() * 256)


def _set_significant(data: bytearray, at: int, dice: Dice) -> None:
    data[at] = _SIGNIFICANT[int(dice() * len(_SIGNIFICANT))]


def _cut_out(data: bytearray, at: int, dice: Dice) -> None:
    del data[at : at + 1 + int(dice() * 6)]


def _cut_off(data: bytearray, at: int, dice: Dice) -> None:
    del data[at:]


def _insert(data: bytearray, at: int, dice: Dice) -> None:
    data[at:at] = bytes([int(dice() * 256) for _ in range(1 + int(dice() * 5))])


def _repeat(data: bytearray, at: int, dice: Dice) -> None:
    data[at:at] = data[at : at + 1 + int(dice() * 20)]


def _add(data: bytearray, at: int, dice: Dice) -> None:
    """A length that is a little wrong, say."""
    data[at] = (data[at] + (1, -1, 2, -2, 16)[int(dice() * 5)]) & 0xFF


def _lie(data: bytearray, at: int, dice: Dice) -> None:
    """Change the length of a packet: of one from `at` on, or else of the first."""
    start = 0
    while start + 1 < len(data) and start < at:
        size = data[start + 1]
        if size > 0x7F:
            break
        start += 2 + size
    if start + 1 < len(data):
        data[start + 1 : start + 2] = _LIES[int(dice() * len(_LIES))]


_LIES: Final = (
    *(b"\x00", b"\x01", b"\x02", b"\x05", b"\x7f", b"\x80\x00", b"\x80\x01", b"\xff\xff\x01"),
    *(b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x01", b"\x80\x80\x80\x80\x80"),
)

BYTE_MUTATIONS: Final = (
    *(_flip, _flip, _set, _set_significant, _cut_out, _cut_off, _insert, _repeat, _add, _lie),
)


# Packets


def _twice(parts: list[bytes], dice: Dice) -> None:
    parts.insert(int(dice() * len(parts)) + 1, parts[int(dice() * len(parts))])


def _swap(parts: list[bytes], dice: Dice) -> None:
    one, other = int(dice() * len(parts)), int(dice() * len(parts))
    parts[one], parts[other] = parts[other], parts[one]


def _lose(parts: list[bytes], dice: Dice) -> None:
    del parts[int(dice() * len(parts))]


def _foreign(parts: list[bytes], dice: Dice) -> None:
    """A packet of any version."""
    parts.insert(int(dice() * len(parts)) + 1, ALL[int(dice() * len(ALL))])


PACKET_MUTATIONS: Final = (_twice, _swap, _lose, _foreign)
