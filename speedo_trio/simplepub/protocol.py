"""SimplePub's server side: a client's frames to the broker, and the broker's messages to it.

Routing a message takes microseconds and never waits, so it is done as its bytes arrive, without a
way through the queue. What would take longer goes that way, as a `Message` of the connection: the
rest of a read whose messages have many subscribers, and what is retained for a new subscription.

Next: `speedo_trio.simplepub.client`, the other side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import trio
from attrs import define

from speedo_trio.broker.broker import Broker, outbox_limits
from speedo_trio.broker.core import Drops
from speedo_trio.broker.mailbox import Mailbox
from speedo_trio.broker.stats import SubscriberStats
from speedo_trio.errors import FrameTooLong, ProtocolError, RetainedFull, TopicError
from speedo_trio.protocol.handler import ProtocolHandler
from speedo_trio.protocol.message import Message
from speedo_trio.pubsub.publication import Publication
from speedo_trio.pubsub.subscriber import NO_TERMS
from speedo_trio.pubsub.topics import has_wildcard
from speedo_trio.simplepub.frames import (
    FrameReader,
    FrameType,
    decode_filters,
    decode_pub,
    encode_disconnect,
    encode_pub,
)
from speedo_trio.simplepub.settings import SimplePubSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speedo_trio.events import CloseReason
    from speedo_trio.protocol.handler import Connection
    from speedo_trio.pubsub.outbox import OutboxLimits
    from speedo_trio.pubsub.subscriber import Terms

SUBPROTOCOL = "simplepub"
"""What WebSocket clients may ask for."""

TURN = 2000
"""Messages and deliveries of one client that are done before it is others' turn: 2 ms or so."""
RETAINED_TURN = 100
"""Retained messages that are sent to one client before it is others' turn."""
RETAINED_BYTES = 65_536
"""Their bytes; one more message may be on top."""
RETAINED_NAMES = 1000
"""Retained messages that may be looked through for a filter with wildcards as its SUB is read: a
third of a millisecond. Of more, one filter is looked through before it is others' turn."""

_LIVE = "simplepub"
"""The form of a publication that goes to those who are subscribed."""
_PUB, _SUB, _UNSUB = int(FrameType.PUB), int(FrameType.SUB), int(FrameType.UNSUB)
_OWN = b"$SYS"

_Found: TypeAlias = "tuple[bytes, object, Iterator[Publication]]"
"""A filter, the token of its subscription, and what was retained for it then."""


class SimplePub:
    """Brings what is published under topics to those who are subscribed.

    It is a `ProtocolHandlerFactory`, for SimplePub's clients of a broker.

    ::

        await nursery.start(serve, SimplePub(broker), "tcp://localhost:9292")
    """

    def __init__(
        self, broker: Broker | None = None, settings: SimplePubSettings | None = None
    ) -> None:
        """Give a broker to share it with the program or other protocols; else it has its own."""
        self.broker: Broker = Broker() if broker is None else broker
        """What it serves."""
        self.settings: SimplePubSettings = SimplePubSettings() if settings is None else settings
        """What its clients may do."""
        each = self.settings
        self._limits = outbox_limits(each.waiting_messages, each.waiting_bytes, each.overflow)

    def __call__(self, connection: Connection, /) -> ProtocolHandler:
        """The handler of a new connection."""
        return SimplePubHandler(connection, self.broker, self.settings, self._limits)

    def choose_subprotocol(self, offered: tuple[str, ...]) -> str | None:
        """Over WebSocket: ``simplepub`` if that is offered."""
        return SUBPROTOCOL if SUBPROTOCOL in offered else None


class SimplePubHandler(ProtocolHandler):
    """One client, who publishes, and to the broker is a subscriber."""

    def __init__(
        self,
        connection: Connection,
        broker: Broker,
        settings: SimplePubSettings,
        limits: OutboxLimits,
    ) -> None:
        super().__init__(connection)
        self._core = broker.core
        self._exchange = broker.core.exchange
        self._settings = settings
        self._reader = FrameReader(settings.payload_bytes)
        self._mailbox = Mailbox(connection, limits, self._core.dirty, self._too_slow)
        self._filters: dict[bytes, object] = {}  # each with a token, new with each subscription
        self._drops = Drops()
        self._behind = 0  # reads that wait in the queue
        self._made: list[_Slow] = []  # what they gave, to be executed after the last of them
        self._gone = False  # the client has sent its last frame
        self._draining = False
        self._over = False  # the client is to be sent and to be asked nothing more
        self._room: trio.Event | None = None  # set when there is room again

    # What the connection tells

    def opened(self) -> None:
        self._core.enter(self)

    def handle(self, data: bytes) -> list[_Slow] | None:
        frames = iter(self._reader.feed(data))
        if self._behind:
            self._behind += 1
            return [_Rest(self, frames)]
        made: list[_Slow] = []
        try:
            done = self._work_through(frames, made)
        finally:
            self._core.flush_after_reads(self.connection, len(data))
        if done:
            return made or None
        self._behind = 1
        self._made = made
        return [_Rest(self, frames)]

    def eof(self) -> list[_Slow]:
        self._reader.eof()
        if not self._behind:  # else it is, when all that was sent before is done
            self.unsubscribe_all()
        return [_Farewell(self, b"")]

    def draining(self) -> list[_Slow]:
        self._draining = True
        return [_Farewell(self, encode_disconnect("the server is going away"))]

    def writable(self) -> None:
        self._mailbox.pump()
        self._wake()

    def closed(self, reason: CloseReason) -> None:
        self._leave(b"")

    # What the broker asks

    def deliver(self, publication: Publication, terms: Terms) -> bool:
        """Send a message, or let it wait; one that no frame can carry is not taken."""
        try:
            taken = self._mailbox.put(publication.encoded(_LIVE, _encode))
        except FrameTooLong:  # it came by another protocol
            return False
        if self._mailbox.congested and self._drops.worth_telling(self._mailbox.dropped):
            self._core.dropping(self._name, self._mailbox.dropped)
        return taken

    def stats(self) -> SubscriberStats:
        """A snapshot."""
        mailbox = self._mailbox
        return SubscriberStats(
            name=self._name,
            filters=tuple(each.decode() for each in self._filters),
            delivered=mailbox.delivered,
            dropped=mailbox.dropped,
            waiting=mailbox.waiting,
            waiting_bytes=mailbox.waiting_bytes,
        )

    @property
    def _name(self) -> str:
        return f"simplepub {self.connection.peer}"

    # What messages do

    def proceed(self, frames: Iterator[bytes], made: list[_Slow]) -> bool:
        """Do what the frames say, until it is others' turn; whether all was done.

        Args:
            made: gets the messages that this gives.

        Raises:
            ProtocolError: a frame that is not allowed; the client has been told.
        """
        try:
            return self._work_through(frames, made)
        finally:
            self._core.flush()

    def _work_through(self, frames: Iterator[bytes], made: list[_Slow]) -> bool:
        """`proceed`, without sending what comes of it."""
        work = 0
        try:
            for frame in frames:
                if self._gone or self._over:
                    return True
                kind = frame[0]
                if kind == _PUB:
                    work += 1 + self._publish(frame)
                elif kind == _SUB:
                    work += self._subscribe(frame, made)
                elif kind == _UNSUB:
                    work += self._unsubscribe(frame)
                else:
                    self._gone = True
                    self.unsubscribe_all()
                    made.append(_Farewell(self, b""))
                    self.connection.close()
                    return True
                if work >= TURN:
                    return False
        except ProtocolError as error:
            self.finish(encode_disconnect(str(error)))
            raise
        return True

    def caught_up(self, made: list[_Slow]) -> list[_Slow]:
        """A read that waited in the queue is done; what is to be executed before the next."""
        self._behind -= 1
        self._made += made
        if self._behind:
            return []
        made, self._made = self._made, []
        return made

    async def room(self) -> bool:
        """Wait until nothing waits to be sent to the client; whether it is still there."""
        while self._mailbox.congested:
            if self._room is None:
                self._room = trio.Event()
            await self._room.wait()
        await trio.lowlevel.checkpoint()
        return not self._over

    def send_retained(self, retained: Iterator[Publication | None]) -> bool:
        """Send some of what is retained, until it is others' turn; whether that was all."""
        done, count, size = True, 0, 0
        for publication in retained:
            if publication is not None:
                size += self._send_retained(publication)
                count += 1
            if publication is None or count >= RETAINED_TURN or size >= RETAINED_BYTES:
                done = False
                break
        self._mailbox.flush()
        return done

    def _send_retained(self, publication: Publication) -> int:
        try:
            frame = encode_pub(publication.topic, publication.payload, retain=True)
        except FrameTooLong:  # it came by another protocol
            return 0
        self._mailbox.put(frame)
        return len(frame)

    # The frames

    def _publish(self, frame: bytes) -> int:
        topic, body, retain = decode_pub(frame)
        if topic[:4] == _OWN and topic[4:5] in (b"", b"/"):
            raise TopicError(f"a message under {topic[:80]!r}; $SYS is the server's own")
        publication = Publication(topic, body, retain=retain, origin=self)
        if not retain:
            publication.keep(_LIVE, frame)  # it goes out as the very bytes that came in
            self._core.published += 1
            return self._exchange.publish(publication)
        try:
            return self._core.route(publication)
        except RetainedFull as error:
            raise ProtocolError(str(error)) from error

    def _subscribe(self, frame: bytes, made: list[_Slow]) -> int:
        filters = decode_filters(frame)
        most = self._settings.subscriptions
        for topic_filter in filters:
            if len(self._filters) >= most and topic_filter not in self._filters:
                raise ProtocolError(f"a subscription more than {most}; allowed are {most}")
            self._exchange.subscribe(topic_filter, self, NO_TERMS)
            self._filters[topic_filter] = object()
        self._mailbox.answer(frame)
        if self._over:  # it was one answer too many
            return 0
        many = len(self._exchange.retained) > RETAINED_NAMES
        wide = many and any(map(has_wildcard, filters))
        retained = self._replay(filters, wide=wide)
        if wide or self._mailbox.congested or not self.send_retained(retained):
            made.append(_Retained(self, retained))
        return 1 + len(filters)

    def _replay(self, filters: list[bytes], *, wide: bool) -> Iterator[Publication | None]:
        """What is retained for the filters, each as long as the client has that very subscription.

        Args:
            wide: to look through what is retained takes long; None comes after each filter.
        """
        subscribed = self._filters
        found = [(each, subscribed[each], self._core.retained_for(each)) for each in filters]
        return self._replayed(found, wide=wide)

    def _replayed(self, found: list[_Found], *, wide: bool) -> Iterator[Publication | None]:
        subscribed = self._filters
        for topic_filter, token, retained in found:
            while not self._draining and subscribed.get(topic_filter) is token:
                publication = next(retained, None)
                if publication is None:
                    break
                yield publication
            if wide:
                yield None

    def _unsubscribe(self, frame: bytes) -> int:
        filters = decode_filters(frame)
        for topic_filter in filters:
            self._exchange.unsubscribe(topic_filter, self)
            self._filters.pop(topic_filter, None)
        self._mailbox.answer(frame)
        return 1 + len(filters)

    # The end

    def unsubscribe_all(self) -> None:
        """Get nothing more; what waits is still sent."""
        self._exchange.remove(self, self._filters)
        self._filters.clear()

    def finish(self, last: bytes) -> None:
        """Send `last` and nothing more, and close."""
        if self._over:
            return
        if self._leave(last):
            self.connection.close()
        else:
            self.connection.abort()

    def _too_slow(self, what: str) -> None:
        """Its mailbox is full, and it is to be ended for that."""
        self.finish(encode_disconnect(f"it reads too slowly: {what}"))

    def _leave(self, last: bytes) -> bool:
        """Let go of the broker; whether `last` was sent."""
        self._over = True
        self.unsubscribe_all()
        sent = self._mailbox.close(last)
        self._core.leave(self, self._mailbox.lost)
        self._wake()
        return sent

    def _wake(self) -> None:
        """Let a message look again whether there is room."""
        if self._room is not None:
            self._room.set()
            self._room = None


class _Slow(Message):
    """What waits for the client or for others' turns."""

    async def execute(self) -> None:
        """Do it."""


@define(eq=False)
class _Rest(_Slow):
    """What is left to do of a read, when others have had their turn."""

    handler: SimplePubHandler
    frames: Iterator[bytes]

    async def execute(self) -> None:
        """Raises ProtocolError: a frame that is not allowed; the client has been told."""
        made: list[_Slow] = []
        done = False
        while not done:
            done = self.handler.proceed(self.frames, made)
            await trio.lowlevel.checkpoint()
        for message in self.handler.caught_up(made):
            await message.execute()


@define(eq=False)
class _Retained(_Slow):
    """What is left of what is retained, for a new subscription."""

    handler: SimplePubHandler
    retained: Iterator[Publication | None]

    async def execute(self) -> None:
        """Send it as the client reads it, as long as it is subscribed."""
        while await self.handler.room() and not self.handler.send_retained(self.retained):
            pass


@define(eq=False)
class _Farewell(_Slow):
    """The end of a connection, once all that waits was sent."""

    handler: SimplePubHandler
    last: bytes

    async def execute(self) -> None:
        """Send what waits, then `last`."""
        self.handler.unsubscribe_all()
        if await self.handler.room():
            self.handler.finish(self.last)


def _encode(publication: Publication) -> bytes:
    return encode_pub(publication.topic, publication.payload)
