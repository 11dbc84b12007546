"""The reader: a stream of bytes, cut anywhere, becomes packets.

It keeps the promises of `speedo_trio.Framer`: the cutting of the bytes makes no difference, what
is held is bounded, the work is linear, and the packets before an error are still given.

How it works: one loop takes the packets that make up nearly all traffic, and are short, straight
out of the chunk: PUBLISH without properties, to a name that is known, and its answers without a
reason. All else, and all that is wrong, goes to `decoder`, which knows every rule.

Of packets that are much alike it makes a run, for who wants that.

Next: `speedo_trio.mqtt.wire.encoder`, the other direction.
"""

from __future__ import annotations

import re
from array import array
from sys import byteorder
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from speedo_trio.errors import ConfigError, IncompleteFrame, MalformedPacket, MQTTError
from speedo_trio.mqtt.wire.body import Body
from speedo_trio.mqtt.wire.connect import decode_connect, read_level, version_of
from speedo_trio.mqtt.wire.decoder import check_head, decode_body
from speedo_trio.mqtt.wire.known_topics import KNOWN, learn
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import Publish
from speedo_trio.mqtt.wire.properties import MOST_VARIABLE
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.runs import ANSWERS, MOST_RUN, AnswerRun, PublishRun
from speedo_trio.mqtt.wire.versions import BRIDGE_BIT, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from speedo_trio.mqtt.wire.packets import Packet
    from speedo_trio.mqtt.wire.runs import Run

P = TypeVar("P")

MOST_PACKET_BYTES: Final = MOST_VARIABLE + 5
"""The largest packet that the standard allows, its fixed header included (section 2.1.4)."""

LEAST_LIMIT: Final = 2
"""The smallest packet."""

_CONNECT: Final = 0x10
_PLAIN: Final = 0x30  # PUBLISH with QoS 0 that is neither DUP nor retained
_PUBLISH: Final = {
    _PLAIN | retain | qos << 1 | dup << 3: (qos, bool(retain), bool(dup))
    for retain in (0, 1)
    for qos in (0, 1, 2)
    for dup in (0, 1)
    if qos or not dup
}
_ANSWERS: Final[dict[int, Callable[[int, ReasonCode, None], Packet]]] = {
    kind << 4 | 2 * (kind is PacketType.PUBREL): make for kind, make in ANSWERS.items()
}
_ANSWER_RUNS: Final = {
    head: re.compile(rb"(?:%c\x02(?:[^\0].|\0[^\0])){2,%d}" % (head, MOST_RUN), re.DOTALL)
    for head in _ANSWERS
}
"""Answers that say success, with identifiers that are not 0."""


class _PacketsThenError(Generic[P]):
    """The packets before an error, then the error. Like a list, it can be iterated again."""

    __slots__ = ("_error", "_packets")

    def __init__(self, packets: list[P], error: MQTTError) -> None:
        self._packets = packets
        self._error = error

    def __len__(self) -> int:
        return len(self._packets)

    def __iter__(self) -> Iterator[P]:
        yield from self._packets
        # A new one each time: an exception that is raised again drags its old traceback along.
        raise type(self._error)(*self._error.args)


class PacketReader:
    """Makes packets of one direction of one connection.

    Which types may come from a server or a client, and when, is for its user to see to; but
    without a version the first packet is a CONNECT, and no other is one.

    Args:
        version: What the connection speaks, if that is known: for a client. A server learns it
            from the CONNECT.
        limit: The bytes that a packet may have at most, its fixed header included.

    Raises:
        ConfigError: The limit is not allowed.
    """

    __slots__ = ("_error", "_held", "_limit", "_needed", "count", "level", "version")

    def __init__(self, version: Version | None = None, *, limit: int = MOST_PACKET_BYTES) -> None:
        self.version = version
        """What the connection speaks; None until a CONNECT has told. It is here also when the rest
        of that CONNECT is not allowed, so that the answer can be what its sender understands."""
        self.level: int | None = None
        """The protocol level of the CONNECT, with the bit of a bridge: for an answer to one that is
        not spoken here. None when none has come, or its protocol's name is not one of MQTT's."""
        self.limit = limit
        self.count: int = 0
        """Packets that have come, each of a run."""
        self._held = bytearray()
        self._needed = 0
        self._error: MQTTError | None = None

    @property
    def limit(self) -> int:
        """The bytes that a packet may have. A new one holds for packets that begin later."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        if not LEAST_LIMIT <= limit <= MOST_PACKET_BYTES:
            raise ConfigError(
                f"limit is {limit}; allowed are {LEAST_LIMIT} to {MOST_PACKET_BYTES} bytes"
            )
        self._limit = limit

    @property
    def buffered(self) -> int:
        """The bytes now held of an unfinished packet, its fixed header included."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Packet] | _PacketsThenError[Packet]:
        """Take the next bytes of the stream and give the packets that they complete.

        Iterate over the result; what it raises ends the connection.

        Args:
            data: Any number of bytes, cut anywhere; none at all changes nothing.

        Returns:
            The packets in order: a list as long as the bytes keep the rules. If they break them,
            an iterable that gives the packets before the error and then raises it.

        Raises:
            MQTTError: From the result, never from the call. From then on the stream has no
                meaning: nothing is held, and each further call gives the same error.
        """
        # Without runs there are none among the packets.
        return cast("list[Packet] | _PacketsThenError[Packet]", self._feed(data, runs=False))

    def feed_runs(self, data: bytes) -> list[Packet | Run] | _PacketsThenError[Packet | Run]:
        """`feed`, with a run for several packets where one can be made."""
        return self._feed(data, runs=True)

    def _feed(
        self, data: bytes, *, runs: bool
    ) -> list[Packet | Run] | _PacketsThenError[Packet | Run]:
        if self._held or self._error is not None:
            if self._error is not None:
                return _PacketsThenError([], self._error)
            if len(self._held) + len(data) < self._needed:
                self._held += data  # it stays below _needed, and so within the limit
                return []
            data = b"".join((self._held, data))
            self._held.clear()
        packets: list[Packet | Run] = []
        try:
            rest = self._cut(data, packets, runs=runs)
        except MQTTError as error:
            self._error = error.with_traceback(None)  # its frames would keep the chunk alive
            return _PacketsThenError(packets, self._error)
        finally:
            self.count += len(packets)
        if rest < len(data):
            self._held += data[rest:]
        return packets

    def eof(self) -> None:
        """Take note that the stream has ended. After an error this is silent.

        Raises:
            IncompleteFrame: It ended inside a packet.
        """
        if self._held:
            raise IncompleteFrame(
                f"the stream ended {len(self._held)} bytes into a packet; "
                "it may end only between packets"
            )

    def _cut(  # noqa: C901, PLR0912, PLR0915  # no call a packet
        self, data: bytes, packets: list[Packet | Run], *, runs: bool
    ) -> int:
        """Append the packets in `data`; give where the unfinished one begins, set `_needed`.

        A packet that is not one of the frequent kind, or not as it should be, falls through to
        `_read`; so the conditions say when it is surely right, and no more.

        Raises:
            MQTTError: The bytes after the packets appended so far break the rules.
        """
        start = 0
        if self.version is None and data:
            start = self._read_first(data, packets)
            if self.version is None:
                return start
        append, known, success = packets.append, KNOWN.get, ReasonCode.SUCCESS
        five = self.version is Version.MQTT_5_0
        limit, available = self._limit, len(data)
        while start < available - 1:
            head, size, body = data[start], data[start + 1], start + 2
            if size > 0x7F:
                second = data[body] if body < available else 0
                # A length of more than two bytes is made one that can't be.
                size = size + (second - 1 << 7) if 0 < second < 0x80 else available
                body += 1
            end = body + size
            if body + 2 <= end <= available and end - start <= limit:
                flags = _PUBLISH.get(head)
                if flags is not None:
                    name = body + 2
                    at = name + (data[body] << 8) + data[body + 1]
                    topic = known(data[name:at])
                    if topic is None and name < at <= end:
                        topic = learn(data[name:at])
                    packet_id, (qos, retain, dup) = 0, flags
                    if qos and at + 2 <= end:
                        packet_id = (data[at] << 8) + data[at + 1]
                        at += 2
                    at += five  # for a property length, which is to be 0
                    if (
                        topic is not None
                        and at <= end
                        and (packet_id or not qos)
                        and not (five and data[at - 1])
                    ):
                        if (
                            runs
                            and end < available
                            and data[end] == head
                            and not (retain or dup)
                            and (run := self._run(data, start, name + len(topic), end, topic, qos))
                        ):
                            append(run)
                            start = run.end
                            continue
                        raw = data[start:end] if head == _PLAIN else None
                        payload = data[at:end]
                        append(Publish(topic, payload, qos, retain, dup, packet_id, None, raw))
                        start = end
                        continue
                elif size == 2 and head in _ANSWERS and (data[body] or data[body + 1]):
                    if (
                        runs
                        and end < available
                        and data[end] == head
                        and (found := _ANSWER_RUNS[head].match(data, start))
                    ):
                        append(self._answer_run(head, found[0]))
                        start = found.end()
                        continue
                    packet_id = (data[body] << 8) + data[body + 1]
                    append(_ANSWERS[head](packet_id, success, None))
                    start = end
                    continue
            if not (end := self._read(data, start, packets)):
                return start
            start = end
        if start < available:
            self._read(data, start, packets)
        return start

    def _run(
        self, data: bytes, start: int, named: int, end: int, topic: bytes, qos: int
    ) -> PublishRun | None:
        """The PUBLISHes from `start` on that make up a run; None when there is only one.

        Args:
            data: What has come.
            start: Where the first one begins.
            named: Where its topic ends.
            end: Where it ends.
            topic: Its topic.
            qos: Its QoS.
        """
        version = self.version
        assert version is not None
        five, available = version is Version.MQTT_5_0, len(data)
        skipped = 2 * bool(qos) + five
        prefix, size = data[start:named], end - start
        names, ends = [named], [end]
        while len(ends) < MOST_RUN:
            if not data.startswith(prefix, end):
                other = self._same_topic(data, end, prefix, len(topic) + 2)
                if other is None or other[1] < len(other[0]) + skipped:
                    break
                prefix, size = other
            named = end + len(prefix)
            if (
                end + size > available
                or (qos and not (data[named] or data[named + 1]))
                or (five and data[named + skipped - 1])
            ):
                break
            end += size
            names.append(named)
            ends.append(end)
        if len(ends) == 1:
            return None
        self.count += len(ends) - 1
        return PublishRun(topic, qos, version, data, start, names, ends)

    def _same_topic(
        self, data: bytes, start: int, prefix: bytes, name: int
    ) -> tuple[bytes, int] | None:
        """A PUBLISH like the one before, but for its size: what it begins with, and its size.

        Args:
            data: What has come.
            start: Where it begins.
            prefix: What the one before begins with, up to the end of its topic.
            name: So many bytes of that are the topic's, with its length.
        """
        if start + 3 > len(data) or data[start] != prefix[0]:
            return None
        size, body = data[start + 1], start + 2
        if size > 0x7F:
            second = data[body]
            if not 0 < second < 0x80:
                return None
            size, body = size + (second - 1 << 7), body + 1
        size += body - start
        if size > self._limit or not data.startswith(prefix[-name:], body):
            return None
        return data[start : body + name], size

    def _answer_run(self, head: int, data: bytes) -> AnswerRun:
        """Answers of four bytes each, that say success."""
        words = array("H", data)
        if byteorder == "little":
            words.byteswap()
        packet_ids = words[1::2].tolist()
        self.count += len(packet_ids) - 1
        return AnswerRun(PacketType(head >> 4), packet_ids)

    def _read_first(self, data: bytes, packets: list[Packet | Run]) -> int:
        """Read a CONNECT, which the first packet must be [MQTT-3.1.0-1]; give where it ends."""
        if data[0] >> 4 != PacketType.CONNECT:
            raise MQTTError(
                f"the first packet is of type {data[0] >> 4}; allowed is 1, CONNECT",
                ReasonCode.PROTOCOL_ERROR,
            )
        found = self._find(data, 0)
        if found is None:
            return 0
        _, start, end = found
        body = Body(data[start:end], "CONNECT")
        name, self.level = read_level(body)
        version = version_of(name, self.level)
        self.version = version
        packets.append(decode_connect(body, version, bridge=self.level >= BRIDGE_BIT))
        return end

    def _read(self, data: bytes, start: int, packets: list[Packet | Run]) -> int:
        """Read any packet; give where it ends, or 0 when it has not come as a whole."""
        if data[start] == _CONNECT:  # [MQTT-3.1.0-2]
            raise MQTTError("CONNECT comes again; allowed is one", ReasonCode.PROTOCOL_ERROR)
        found = self._find(data, start)
        if found is None:
            return 0
        kind, at, end = found
        body = Body(data[at:end], kind.name)
        assert self.version is not None
        packets.append(decode_body(body, kind, data[start] & 0x0F, self.version))
        return end

    def _find(self, data: bytes, start: int) -> tuple[PacketType, int, int] | None:
        """Give the type, and where the body begins and ends; None when not all of it has come.

        Raises:
            MalformedPacket: The fixed header is none.
            MQTTError: The packet is over the limit.
        """
        kind = check_head(data[start], self.version or Version.MQTT_5_0)
        size = 0
        for count in range(4):  # section 2.1.4
            at = start + 1 + count
            if at == len(data):
                self._needed = at - start + 1
                return None
            size |= (data[at] & 0x7F) << 7 * count
            if data[at] < 0x80:
                break
        else:
            raise MalformedPacket(f"the length of {kind.name} goes on after 4 bytes; allowed are 4")
        if count and not data[at]:  # [MQTT-1.5.5-1]
            raise MalformedPacket(
                f"the length {size} of {kind.name} has {count + 1} bytes; "
                "allowed are as few as can be"
            )
        body = at + 1
        end = body + size
        if end - start > self._limit:  # [MQTT-3.2.2-15] [MQTT-3.1.2-24]
            raise MQTTError(
                f"{kind.name} has {end - start} bytes; allowed are {self._limit}",
                ReasonCode.PACKET_TOO_LARGE,
            )
        if end > len(data):
            self._needed = end - start
            return None
        return kind, body, end
