"""The script of MQTT: publishers, subscribers, and everything that has to be acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from benchmarks.guard.clients import CONNACK, SUBACK, Client, all_answer, connect_packet, text_field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.guard.clients import Crowd
    from benchmarks.guard.driver import Script

_PUBLISH, _PUBACK, _PUBREC, _PUBREL, _PUBCOMP = 0x30, 0x40, 0x50, 0x62, 0x70
_PAYLOAD = b"p" * 64
_TOPICS = {
    "pairs": (b"load/%d/x", b"load/%d/x"),
    "fanout": (b"load/all", b"load/all"),
    "fanin": (b"load/in/%d", b"load/in/+"),
    "wild": (b"load/%d/a/b/c", b"load/%d/+/b/#"),
    "fresh": (b"load/%d/a/b/c", b"load/%d/+/b/#"),
    "shared": (b"load/shared/%d", b"$share/load/load/shared/+"),
}
"""Of each kind: what its publishers publish to, and its subscribers subscribe to."""


@frozen
class Packets:
    """So many publishers, or subscribers, and so many messages of each publisher at once.

    Of the kind "fresh", each message has a topic that no other has.
    """

    kind: str
    clients: int
    window: int
    qos: int = 0
    version: int = 4

    @property
    def publishers(self) -> int:
        """How many."""
        return 1 if self.kind == "fanout" else self.clients

    @property
    def subscribers(self) -> int:
        """How many."""
        return 1 if self.kind == "fanin" else self.clients

    @property
    def messages(self) -> int:
        """Deliveries in a round."""
        copies = self.clients if self.kind == "fanout" else 1
        return self.publishers * self.window * copies

    def play(self, crowd: Crowd, rounds: Iterator[None]) -> Script:
        """Play as many rounds as there are."""
        topic, topic_filter = _TOPICS[self.kind]
        subscribers = [crowd.client() for _ in range(self.subscribers)]
        publishers = [crowd.client() for _ in range(self.publishers)]
        for number, client in enumerate([*subscribers, *publishers]):
            client.send(connect_packet(b"client-%d" % number, self.version))
        yield from all_answer([*subscribers, *publishers], CONNACK)
        for number, client in enumerate(subscribers):
            client.send(self._subscribe(_numbered(topic_filter, number)))
        yield from all_answer(subscribers, SUBACK)
        for turn, _ in enumerate(rounds):
            for number, client in enumerate(publishers):
                client.send(self._batch(_numbered(topic, number), turn))
            yield from self._round(publishers, subscribers)
        for client in (*publishers, *subscribers):
            client.close()

    def _round(self, publishers: list[Client], subscribers: list[Client]) -> Script:
        """Acknowledge until all is delivered and all is acknowledged."""
        owed = self.messages  # to subscribers
        unsettled = self.publishers * self.window if self.qos else 0  # of publishers
        unreleased = owed if self.qos == 2 else 0  # of subscribers
        while owed or unsettled or unreleased:
            yield
            for client in publishers:
                unsettled -= _settle(client)
            for client in subscribers:
                delivered, released = _acknowledge(client, self.version)
                owed -= delivered
                unreleased -= released

    def _subscribe(self, topic_filter: bytes) -> bytes:
        properties = b"\0" if self.version == 5 else b""
        body = b"\0\1" + properties + text_field(topic_filter) + bytes([self.qos])
        return b"\x82%c" % len(body) + body

    def _batch(self, topic: bytes, turn: int) -> bytes:
        properties = b"\0" if self.version == 5 else b""
        batch = b""
        for number in range(1, self.window + 1):
            identifier = number.to_bytes(2) if self.qos else b""
            last = b"%05d" % (turn * self.window + number) if self.kind == "fresh" else b""
            body = text_field(topic + last) + identifier + properties + _PAYLOAD
            batch += bytes([_PUBLISH | self.qos << 1, len(body)]) + body
        return batch


def _numbered(form: bytes, number: int) -> bytes:
    return form % number if b"%d" in form else form


def _settle(client: Client) -> int:
    """A publisher's answers; how many messages they settle."""
    settled, answers = 0, b""
    for first, body in client.packets():
        if first == _PUBREC:
            answers += bytes([_PUBREL, 2]) + body[:2]
        else:
            assert first in {_PUBACK, _PUBCOMP}
            settled += 1
    if answers:
        client.send(answers)
    return settled


def _acknowledge(client: Client, version: int) -> tuple[int, int]:
    """A subscriber's answers; how many messages came, and how many were released."""
    delivered, released, answers = 0, 0, b""
    for first, body in client.packets():
        if first == _PUBREL:
            answers += bytes([_PUBCOMP, 2]) + body[:2]
            released += 1
            continue
        assert first & 0xF0 == _PUBLISH
        assert body.endswith(_PAYLOAD), "a payload came wrong"
        delivered += 1
        if qos := first >> 1 & 3:
            at = 2 + int.from_bytes(body[:2])
            answers += bytes([_PUBACK if qos == 1 else _PUBREC, 2]) + body[at : at + 2]
    if answers:
        client.send(answers)
    return delivered, released
