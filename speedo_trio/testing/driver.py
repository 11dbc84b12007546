"""Drive a protocol handler without I/O: bytes in, what it would have sent out.

Messages are executed one after another in the calling thread, so a test needs no server, no
socket and no event loop.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from attrs import define, field

from speedo_trio.errors import ConnectionClosed
from speedo_trio.events import Address, Cause, CloseReason
from speedo_trio.isolation import own_error
from speedo_trio.protocol.message import Message, no_message, wrong_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence

    from speedo_trio.events import ProxyInfo, TLSInfo, WebSocketInfo
    from speedo_trio.protocol.handler import Messages, ProtocolHandler, ProtocolHandlerFactory
    from speedo_trio.protocol.message import Reply


@define(eq=False)
class FakeConnection:
    """A `Connection` that only remembers."""

    id: int = 1
    peer: Address = Address("tcp", host="192.0.2.1", port=40_000)
    local: Address = Address("tcp", host="192.0.2.2", port=9292)
    tls: TLSInfo | None = None
    websocket: WebSocketInfo | None = None
    proxy: ProxyInfo | None = None
    room: int = 65_536
    """Set it to 0 for a peer that reads slowly. Nothing that is written changes it."""
    sent: bytearray = field(factory=bytearray)
    """All that was written and replied."""
    closing: bool = False
    """Whether `close` was called."""
    aborted: bool = False
    """Whether `abort` was called."""

    def write(self, data: bytes) -> bool:
        if not self.aborted:
            self.sent += data
        return not self.aborted

    def send_nowait(self, data: bytes) -> bool:
        return self.write(data)

    def after_reads(self, call: Callable[[], object]) -> None:
        call()

    async def send(self, data: bytes) -> None:
        if not self.write(data):
            raise ConnectionClosed("the connection was aborted")

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.aborted = True


class Driver:
    """One handler, driven by hand, as a link would drive it."""

    def __init__(self, factory: ProtocolHandlerFactory) -> None:
        """Make the handler and execute what its `opened` gives."""
        self.connection: FakeConnection = FakeConnection()
        self.executed: list[Message] = []
        """The messages that were executed, in order."""
        self.error: BaseException | None = None
        """What ended the connection, if an error did."""
        self._closed: bool = False
        self._eof: bool = False
        self.handler: ProtocolHandler = factory(self.connection)
        self._encode = self.handler.encoder()
        self._run(self.handler.opened)

    @property
    def sent(self) -> bytes:
        """All that the peer would have received."""
        return bytes(self.connection.sent)

    @property
    def ended(self) -> bool:
        """Whether the connection would take no more bytes."""
        fake = self.connection
        return self.error is not None or fake.closing or fake.aborted or self._closed or self._eof

    def feed(self, *chunks: bytes) -> bytes:
        """Give the handler some chunks and execute its messages; what it sent for them.

        Chunks after the connection's end go nowhere, as on a real one.
        """
        before = len(self.connection.sent)
        for chunk in filter(None, chunks):
            if not self.ended:
                self._run(partial(self.handler.handle, chunk))
        return bytes(self.connection.sent[before:])

    def eof(self) -> bytes:
        """The peer ends its stream; what the handler sent for it."""
        before = len(self.connection.sent)
        if not self.ended:
            self._run(self.handler.eof)
            self._eof = True
        return bytes(self.connection.sent[before:])

    def close(self, reason: CloseReason = CloseReason(Cause.EOF)) -> None:  # noqa: B008  # frozen
        """End the connection; `ProtocolHandler.closed` is called, once."""
        if not self._closed:
            self._closed = True
            self.handler.closed(reason)

    def _run(self, callback: Callable[[], Messages]) -> None:
        """Execute what the callback gives, until an error ends the connection."""
        try:
            for message in callback() or ():
                if self.error is None and not self.connection.aborted:
                    self._execute(message)
        except BaseException as error:  # noqa: BLE001  # raised again if it is not its own
            self.error = _own(error)

    def _execute(self, message: Message) -> None:
        """Execute one message and send its reply, or what `failed` makes of its error."""
        self.executed.append(message)
        if not isinstance(message, Message):
            raise no_message(message)
        try:
            self._send(message, _result(message))
        except BaseException as error:  # noqa: BLE001  # as above
            self.error = _own(error)
            reply = self.handler.failed(message, self.error)
            if reply is not None:
                self._send(message, reply)
                self.error = None

    def _send(self, message: Message, reply: object) -> None:
        if reply is None:
            return
        if type(reply) is not bytes:
            raise wrong_reply(message, reply)
        if self._encode is not None:
            reply = self._encode(reply)
            if type(reply) is not bytes:
                raise wrong_reply(message, reply, "encoded ")
        self.connection.write(reply)


def every_split(data: bytes) -> Iterator[Sequence[bytes]]:
    """The data whole, byte by byte, and in two parts at every place."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


def check_splits(
    factory: ProtocolHandlerFactory, data: bytes, splits: Iterable[Sequence[bytes]] | None = None
) -> bytes:
    """Drive a new handler with each split of the same bytes, and see that it makes no difference.

    Args:
        factory: makes the handlers.
        data: what the peer sends.
        splits: the ways to split it; None takes `every_split`.

    Returns:
        What the handler sends, the same for every split.

    Raises:
        AssertionError: two splits gave different bytes, or different errors; the text has both.
    """
    first = _outcome(factory, [data])
    for chunks in every_split(data) if splits is None else splits:
        outcome = _outcome(factory, chunks)
        if outcome != first:
            raise AssertionError(f"split as {list(chunks)} it gives {outcome}, whole {first}")
    return first[0]


def _outcome(
    factory: ProtocolHandlerFactory, chunks: Sequence[bytes]
) -> tuple[bytes, type[BaseException] | None]:
    driver = Driver(factory)
    driver.feed(*chunks)
    driver.close()
    return driver.sent, None if driver.error is None else type(driver.error)


def _own(error: BaseException) -> BaseException:
    """The error, if a link would let it end the connection; else it is raised."""
    own = own_error(error)
    if own is None:
        raise error
    return own


def _result(message: Message) -> Reply:
    """The message's reply; an async one must come to its end without waiting."""
    result = message.execute()
    if not message.runs_async:
        return cast("Reply", result)
    running = cast("Coroutine[Any, Any, Reply]", result)  # Any: what it yields to Trio
    try:
        running.send(None)
    except StopIteration as done:
        return cast("Reply", done.value)
    running.close()
    raise RuntimeError(
        f"{type(message).__name__} waits for something, which a Driver can't; "
        "use speedo_trio.testing.serve_in_memory"
    )
