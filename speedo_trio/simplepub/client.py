"""A client for SimplePub servers: publish, subscribe, and iterate over what comes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from speedo_trio.pubsub.topics import check_filter, check_name, parse_shared
from speedo_trio.simplepub.frames import encode_pub, encode_sub, encode_unsub
from speedo_trio.simplepub.inbox import check_bound
from speedo_trio.simplepub.session import Session
from speedo_trio.simplepub.target import open_stream, parse_target

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from speedo_trio.broker.message import TopicMessage

DEFAULT_BUFFER: Final = 1000


class Client:
    """A connection to a SimplePub server; `connect` makes it.

    Any number of tasks may use it at once. Iterating over it gives the messages that come, as
    `speedo_trio.TopicMessage`; of several tasks that iterate each message goes to one. The
    iteration gives all that came before the end, and then raises::

        try:
            async for message in client:
                print(message.topic, message.payload)
        except ConnectionClosed as error:
            print("start again:", error)

    When the connection has ended, all calls that wait and all later ones raise the same:

    - `speedo_trio.ConnectionClosed` with the reason that the server gave, or that this end has:
      it left the block, or a call was cancelled in the middle of its frame;
    - `speedo_trio.ConnectionLost`, which is one, when the connection broke or the server closed it
      without a reason;
    - `speedo_trio.ProtocolError` when the server sent what SimplePub does not allow.

    A cancel of `publish`, `subscribe`, `unsubscribe` or `ping` while its frame is being sent, which
    takes long only when the server doesn't read, makes the connection useless and ends it: half a
    frame can't be taken back. At any other time a cancel does no harm.
    """

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish a message; returns when it was handed to the network.

        Delivery is at most once, and there is no answer: a `ping` afterwards tells that the server
        has got it. Waits while the server doesn't read.

        Args:
            topic: without wildcards.
            payload: any bytes, together with the topic less than 16 MiB.
            retain: keep it as the last message of its topic, for those who subscribe later; without
                payload, keep nothing any more.

        Raises:
            TopicError: The topic is not allowed. Nothing was sent.
            FrameTooLong: It is too long. Nothing was sent.
            ValueError: The topic is text that has no UTF-8. Nothing was sent.
            ConnectionClosed: The connection has ended, or another error, as the class tells.
        """
        name = topic.encode()
        check_name(name)
        await self._session.send(encode_pub(name, payload, retain=retain))

    async def subscribe(self, *filters: str) -> None:
        """Subscribe to filters; returns when the server has done it.

        Messages that match come to the iteration, and before them those that are retained.
        ``+`` stands for one level, ``#`` at the end for all that follow, ``$share/group/`` before a
        filter for sharing what matches with the group.

        While it waits, the connection is read beyond the bound of `connect`, or it would never end
        in a task that also iterates: the answer comes behind the messages that are on their way.

        Raises:
            TopicError: A filter is not allowed. Nothing was sent.
            FrameTooLong: They are too long together. Nothing was sent.
            ValueError: A filter is text that has no UTF-8. Nothing was sent.
            ConnectionClosed: The connection has ended, or another error, as the class tells.
        """
        await self._session.ask(encode_sub(map(_checked, filters)))

    async def unsubscribe(self, *filters: str) -> None:
        """Unsubscribe from filters; returns when the server has done it.

        After that no message comes for them; some that came before may still wait for the
        iteration. A filter that was not subscribed to is no error. Waits and raises as `subscribe`.
        """
        await self._session.ask(encode_unsub(map(_checked, filters)))

    async def ping(self) -> None:
        """Wait until the server has done all that was sent before. Waits as `subscribe` does.

        Raises:
            ConnectionClosed: The connection has ended, or another error, as the class tells.
        """
        await self._session.ask(encode_sub(()))

    def __aiter__(self) -> Client:
        return self

    async def __anext__(self) -> TopicMessage:
        """Wait for the next message; a cancel loses none.

        While messages are there it does not let other tasks run, but it can be cancelled.
        """
        return await self._session.take()


@asynccontextmanager
async def connect(
    url: str, *, ssl_context: ssl.SSLContext | None = None, buffer: int = DEFAULT_BUFFER
) -> AsyncGenerator[Client]:
    """Connect to a SimplePub server, for the block.

    ::

        async with connect("simplepub://localhost:9292") as client:
            await client.subscribe("sensors/#")
            await client.publish("sensors/kitchen", b"21.5", retain=True)
            async for message in client:
                print(message.topic, message.payload)

    At the end of the block the server is told, and gets a second to do what was sent before; what
    comes meanwhile is dropped. A block that ends by an exception or a cancel just closes.
    Exceptions leave the block as they are, not in a group. There is no time limit for connecting
    but the operating system's; put one around it.

    Args:
        url: ``simplepub://host:port``, ``simplepub+tls://host:port`` or ``simplepub+unix:/path``;
            the port is 9292 if it is not said.
        ssl_context: for ``simplepub+tls``; None takes `ssl.create_default_context`.
        buffer: When so many messages wait for the iteration, the client stops reading, and the
            server sees a subscriber that reads too slowly. One read may bring some more.

    Raises:
        ConfigError: The URL or another argument is not allowed.
        ConnectionLost: It can't connect, and why.
    """
    target = parse_target(url)
    check_bound(buffer)
    stream = await open_stream(target, ssl_context)
    async with connect_stream(stream, buffer=buffer) as client:
        yield client


@asynccontextmanager
async def connect_stream(
    stream: trio.abc.Stream, *, buffer: int = DEFAULT_BUFFER
) -> AsyncGenerator[Client]:
    """As `connect`, over a stream that is connected already. It is closed at the end.

    Args:
        stream: any Trio stream, with nothing sent or received yet.
        buffer: as for `connect`.

    Raises:
        ConfigError: The buffer is not allowed; the stream stays open.
    """
    session = Session(stream, buffer)
    alone: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.read)
            try:
                yield Client(session)
                await session.leave()
            finally:
                session.close()
    except BaseExceptionGroup as group:
        # The nursery's own group: around what the block raised, as reading raises nothing.
        if len(group.exceptions) > 1:
            raise
        alone = group.exceptions[0]
    if alone is not None:
        try:
            raise alone
        finally:
            del alone  # it has this frame in its traceback


def _checked(topic_filter: str) -> bytes:
    encoded = topic_filter.encode()
    check_filter(encoded)
    parse_shared(encoded)  # which has more to say about those
    return encoded
