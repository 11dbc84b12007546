"""A run of publications: what a client published under one topic, together.

Next: `speedo_trio.mqtt.state.terms`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from speedo_trio.mqtt.state.publication import FAMILIES, MQTTPublication
from speedo_trio.mqtt.wire.publish import SharedRun, share_run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from speedo_trio.mqtt.state.flights import Message
    from speedo_trio.mqtt.wire.runs import PublishRun
    from speedo_trio.mqtt.wire.versions import Version
    from speedo_trio.pubsub.publication import Publication


class PublicationRun:
    """What is made of a `PublishRun`, once for all who get the same, and when it is first needed.

    Each publication has no properties, is not retained and does not expire.
    """

    __slots__ = (
        "_frames",
        "_messages",
        "_now",
        "_origin",
        "_packets",
        "_publications",
        "_shared",
        "qos",
        "topic",
    )

    def __init__(self, packets: PublishRun, origin: str, now: float) -> None:
        """Take a run of packets.

        Args:
            packets: What has come.
            origin: The client identifier of the publisher.
            now: When it came.
        """
        self.topic: Final = packets.topic
        """A topic name that has been checked."""
        self.qos: Final = packets.qos
        """What each was published with."""
        self._packets = packets
        self._origin = origin
        self._now = now
        self._publications: Sequence[MQTTPublication] | None = None
        self._frames: dict[int, bytes] = {}
        if not packets.qos:
            self._frames[FAMILIES[packets.version]] = packets.raw
        self._shared: dict[tuple[Version, int], SharedRun] = {}
        self._messages: dict[int, Sequence[Message]] = {}

    def __len__(self) -> int:
        return len(self._packets)

    @property
    def size(self) -> int:
        """The bytes that it came in; one of its packets takes less, in any version."""
        return self._packets.size

    @property
    def publications(self) -> Sequence[MQTTPublication]:
        """Each by itself."""
        publications = self._publications
        if publications is None:
            topic, qos, origin, now = self.topic, self.qos, self._origin, self._now
            publications = self._publications = [
                MQTTPublication(topic, payload, qos, False, None, origin, now)
                for payload in self._packets.payloads
            ]
        return publications

    def frames(self, family: int, encode: Callable[[Publication], bytes]) -> bytes:
        """The PUBLISHes with QoS 0 for a receiver.

        Args:
            family: That of its version in `FAMILIES`.
            encode: `encode_3` or `encode_5`, as that says.
        """
        frames = self._frames.get(family)
        if frames is None:
            frames = self._frames[family] = b"".join(map(encode, self.publications))
        return frames

    def shared(self, version: Version, qos: int) -> SharedRun:
        """The PUBLISHes with QoS 1 or 2 for a receiver, but for the packet identifiers."""
        shared = self._shared.get((version, qos))
        if shared is None:
            shared = share_run(self.topic, self._packets.payloads, qos, version)
            self._shared[version, qos] = shared
        return shared

    def messages(self, qos: int) -> Sequence[Message]:
        """What is in flight to a receiver."""
        messages = self._messages.get(qos)
        if messages is None:
            messages = [(each, qos, False, (), None, 0) for each in self.publications]
            self._messages[qos] = messages
        return messages
