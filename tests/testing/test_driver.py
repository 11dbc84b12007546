"""The driver: what it does with a handler is what a server would do."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

import pytest
import trio
from attrs import define, field

from speedo_trio.errors import ConnectionClosed, HandlerError, ProtocolError
from speedo_trio.events import Cause, CloseReason
from speedo_trio.protocol.handler import Connection, ProtocolHandler
from speedo_trio.protocol.message import Message
from speedo_trio.testing.driver import Driver, FakeConnection, check_splits, every_split


@define
class Say(Message):
    """Replies what it is told to; does something before."""

    reply: Any
    does: Callable[[], object] = bool

    def execute(self) -> Any:
        self.does()
        return self.reply


@define
class SayAsync(Message):
    """The same in a task, after awaiting something."""

    reply: Any
    awaits: Any = field(default=None)

    async def execute(self) -> Any:
        if self.awaits is not None:
            await self.awaits()
        return self.reply


def fail(error: BaseException) -> Callable[[], object]:
    """What raises an error when it is called."""

    def raising() -> None:
        raise error

    return raising


class Script(ProtocolHandler):
    """Gives for each chunk what the script says, and remembers what was called."""

    script: Callable[[Script, bytes], Iterable[Any] | None]
    encode: Callable[[bytes], bytes] | None = None

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.calls: list[object] = []

    def opened(self) -> Iterable[Message] | None:
        self.calls.append("opened")
        return None

    def handle(self, data: bytes) -> Iterable[Message] | None:
        self.calls.append(data)
        return type(self).script(self, data)

    def eof(self) -> Iterable[Message] | None:
        self.calls.append("eof")
        return [Say(b"<eof>")]

    def failed(self, message: Message, error: BaseException) -> bytes | None:
        self.calls.append(("failed", message, error))
        return None

    def closed(self, reason: CloseReason) -> None:
        self.calls.append(reason)

    def encoder(self) -> Callable[[bytes], bytes] | None:
        return type(self).encode


def scripted(
    script: Callable[[Any, bytes], Iterable[Any] | None],
    encode: Callable[[bytes], bytes] | None = None,
    kind: type[Script] = Script,
) -> type[Script]:
    """A handler class with a script."""
    return type(
        "Scripted",
        (kind,),
        {"script": staticmethod(script), "encode": encode and _static(encode)},
    )


def _static(encode: Callable[[bytes], bytes]) -> Any:
    return staticmethod(encode)


class Forgiving(Script):
    """Turns errors into replies."""

    def failed(self, message: Message, error: BaseException) -> bytes | None:
        super().failed(message, error)
        return b"sorry"


def echo(_: Script, data: bytes) -> Iterable[Message]:
    """One message for a chunk."""
    return [Say(data)]


# The connection that only remembers


def test_fake_connection_keeps_what_is_written() -> None:
    """In order; it always takes it."""
    connection = FakeConnection()

    assert connection.write(b"1")
    assert connection.write(b"2")
    assert connection.sent == b"12"


@pytest.mark.parametrize("data", ["text", 3, None, [1, 2]])
def test_fake_connection_takes_only_bytes(data: Any) -> None:
    """A mistake that a server would tell is told here."""
    connection = FakeConnection()
    with pytest.raises(TypeError):
        connection.write(data)

    assert connection.sent == b""


async def test_fake_connection_sends() -> None:
    """Without waiting."""
    connection = FakeConnection()
    with trio.fail_after(5):
        await connection.send(b"x")

    assert connection.sent == b"x"


async def test_fake_connection_after_abort() -> None:
    """It takes nothing more."""
    connection = FakeConnection()
    connection.abort()

    assert connection.aborted
    assert not connection.write(b"x")
    with pytest.raises(ConnectionClosed):
        await connection.send(b"x")


def test_fake_connection_after_close() -> None:
    """What is written before the end still goes out."""
    connection = FakeConnection()
    connection.close()

    assert connection.closing
    assert connection.write(b"bye")


def test_fake_connection_is_a_connection() -> None:
    """For a handler there is no difference."""
    connection: Connection = FakeConnection(id=3)

    assert connection.id == 3
    assert str(connection.peer).startswith("tcp://192.0.2.")
    assert connection.tls is None


# The driver


def test_driver_opens_the_handler() -> None:
    """Once, and executes what it gives."""

    class Greeter(Script):
        def opened(self) -> Iterator[Message]:
            super().opened()
            yield Say(b"hello")
            yield Say(b" there")

    driver = Driver(scripted(echo, kind=Greeter))

    assert driver.sent == b"hello there"
    assert isinstance(driver.handler, Greeter)
    assert driver.handler.calls == ["opened"]
    assert driver.handler.connection is driver.connection


def test_feed_gives_what_was_sent_for_it() -> None:
    """Chunk by chunk; `sent` has all."""
    driver = Driver(scripted(echo))

    assert driver.feed(b"1", b"2") == b"12"
    assert driver.feed(b"3") == b"3"
    assert driver.sent == b"123"
    assert driver.executed == [Say(b"1"), Say(b"2"), Say(b"3")]


def test_feed_leaves_out_empty_chunks() -> None:
    """No network gives them."""
    driver = Driver(scripted(echo))
    driver.feed(b"", b"1", b"")

    assert isinstance(driver.handler, Script)
    assert driver.handler.calls == ["opened", b"1"]


def test_messages_run_in_order_whatever_their_kind() -> None:
    """Async ones that need not wait as well."""
    driver = Driver(scripted(lambda *_: [Say(b"1"), SayAsync(b"2"), Say(None), SayAsync(b"3")]))

    assert driver.feed(b"x") == b"123"


def test_replies_are_encoded() -> None:
    """But what is written is not."""

    def script(handler: Script, _: bytes) -> Iterable[Message]:
        handler.connection.write(b"raw")
        return [Say(b"reply"), Say(None)]

    driver = Driver(scripted(script, encode=lambda reply: b"<" + reply + b">"))

    assert driver.feed(b"x") == b"raw<reply>"


def test_message_writes_after_earlier_replies() -> None:
    """As over a server."""

    def script(handler: Script, _: bytes) -> Iterable[Message]:
        return [Say(b"1"), Say(b"3", does=lambda: handler.connection.write(b"2"))]

    assert Driver(scripted(script)).feed(b"x") == b"123"


def test_handler_error_ends_the_connection() -> None:
    """What came before it was answered; what comes after goes nowhere."""

    def script(_: Script, data: bytes) -> Iterator[Message]:
        yield Say(data)
        raise ProtocolError("no")

    driver = Driver(scripted(script))

    assert driver.feed(b"1", b"2") == b"1"
    assert isinstance(driver.error, ProtocolError)
    assert driver.ended
    assert driver.feed(b"3") == driver.eof() == b""


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_message_error_ends_the_connection(error: BaseException) -> None:
    """The handler was asked, and later messages are dropped."""
    failing = Say(b"2", does=fail(error))
    driver = Driver(scripted(lambda *_: [Say(b"1"), failing, Say(b"3")]))

    assert driver.feed(b"x", b"y") == b"1"
    assert driver.error is error
    assert isinstance(driver.handler, Script)
    assert driver.handler.calls == ["opened", b"x", ("failed", failing, error)]


def test_error_that_becomes_a_reply() -> None:
    """It is encoded, and the connection goes on."""
    script = scripted(
        lambda *_: [Say(b"1", does=fail(ValueError())), Say(b"2")],
        encode=lambda reply: reply + b";",
        kind=Forgiving,
    )
    driver = Driver(script)

    assert driver.feed(b"x") == b"sorry;2;"
    assert driver.error is None
    assert not driver.ended


def test_failed_that_raises_ends_the_connection() -> None:
    """With its own error."""

    class Worse(Script):
        def failed(self, message: Message, error: BaseException) -> bytes | None:
            raise KeyError from error

    driver = Driver(scripted(lambda *_: [Say(b"1", does=fail(ValueError()))], kind=Worse))
    driver.feed(b"x")

    assert isinstance(driver.error, KeyError)


class Odd(bytes):
    """Not quite bytes: a subclass may do anything."""

    __slots__ = ()


@pytest.mark.parametrize("reply", ["text", 1, bytearray(b"x"), [1, 2], Odd(b"x")])
@pytest.mark.parametrize("encode", [None, bytes.upper], ids=["plain", "encoded"])
def test_reply_that_a_server_refuses_is_refused(
    reply: object, encode: Callable[[bytes], bytes] | None
) -> None:
    """Else a protocol would pass its tests and fail when it is served."""
    driver = Driver(scripted(lambda *_: [Say(reply)], encode))

    assert driver.feed(b"x") == b""
    assert isinstance(driver.error, HandlerError)


def test_reply_that_cannot_be_encoded_fails_the_message() -> None:
    """The handler is asked for another, as a link does."""

    def encode(reply: bytes) -> bytes:
        if reply == b"bad":
            raise HandlerError("no frame can carry this")
        return reply

    driver = Driver(scripted(lambda *_: [Say(b"bad"), Say(b"good")], encode, kind=Forgiving))

    assert driver.feed(b"x") == b"sorrygood"


@pytest.mark.parametrize("thing", ["text", Say, None, 3])
def test_what_is_no_message_is_refused(thing: object) -> None:
    """With a HandlerError that the handler is not asked about."""
    driver = Driver(scripted(lambda *_: [thing], kind=Forgiving))

    assert driver.feed(b"x") == b""
    assert isinstance(driver.error, HandlerError)


def test_close_lets_what_was_received_execute() -> None:
    """But takes no further bytes."""

    def script(handler: Script, data: bytes) -> Iterator[Message]:
        handler.connection.close()
        yield Say(data)
        yield Say(data)

    driver = Driver(scripted(script))

    assert driver.feed(b"1", b"2") == b"11"
    assert driver.ended
    assert driver.error is None


def test_abort_drops_what_waits() -> None:
    """Nothing is executed nor sent after it."""

    def script(handler: Script, _: bytes) -> Iterator[Message]:
        yield Say(b"1")
        handler.connection.abort()
        yield Say(b"2")

    driver = Driver(scripted(script))

    assert driver.feed(b"x", b"y") == b"1"
    assert driver.executed == [Say(b"1")]
    assert driver.ended


def test_eof_is_told_once() -> None:
    """Its messages are executed; bytes cannot follow it."""
    driver = Driver(scripted(echo))

    assert driver.eof() == b"<eof>"
    assert driver.ended
    assert driver.feed(b"more") == driver.eof() == b""
    assert isinstance(driver.handler, Script)
    assert driver.handler.calls == ["opened", "eof"]


def test_close_calls_closed_once() -> None:
    """With the reason; bytes cannot follow it."""
    reason = CloseReason(Cause.LOST)
    driver = Driver(scripted(echo))
    driver.close(reason)
    driver.close(CloseReason(Cause.IDLE))

    assert driver.feed(b"x") == b""
    assert isinstance(driver.handler, Script)
    assert driver.handler.calls == ["opened", reason]


def test_message_that_waits_says_what_to_use_instead() -> None:
    """A driver has no event loop."""

    @define
    class Waits(Message):
        async def execute(self) -> None:
            await NeverReady()

    driver = Driver(scripted(lambda *_: [Waits()]))
    driver.feed(b"x")

    assert isinstance(driver.error, RuntimeError)
    assert "Waits waits" in str(driver.error)
    assert "serve_in_memory" in str(driver.error)


class NeverReady:
    """Something to await."""

    def __await__(self) -> Generator[None]:
        yield


@pytest.mark.parametrize("where", ["handle", "message"])
def test_interrupt_is_the_users(where: str) -> None:
    """It ends the test run, as it would end the program."""
    message = Say(b"x", does=fail(KeyboardInterrupt()))

    def script(*_: object) -> Iterator[Message]:
        if where == "handle":
            raise KeyboardInterrupt
        yield message

    driver = Driver(scripted(script))
    with pytest.raises(KeyboardInterrupt):
        driver.feed(b"x")


def test_encoder_that_gives_no_bytes_is_refused() -> None:
    """What goes onto the wire is bytes."""
    driver = Driver(scripted(echo, encode=bytes.decode))  # type: ignore[arg-type]  # is what is tested

    assert driver.feed(b"x") == b""
    assert isinstance(driver.error, HandlerError)


# Splits


@pytest.mark.parametrize(
    ("data", "splits"),
    [
        (b"a", [[b"a"], [b"a"]]),
        (b"abc", [[b"abc"], [b"a", b"b", b"c"], [b"a", b"bc"], [b"ab", b"c"]]),
    ],
)
def test_every_split(data: bytes, splits: list[Sequence[bytes]]) -> None:
    """Whole, byte by byte, and in two at every place."""
    assert list(every_split(data)) == splits


@pytest.mark.parametrize("data", [b"", b"a", b"ab", bytes(range(10))])
def test_every_split_is_all_of_the_data(data: bytes) -> None:
    """And has no empty part."""
    for chunks in every_split(data):
        assert b"".join(chunks) == data
        assert all(chunks) or not data


def test_check_splits_gives_what_was_sent() -> None:
    """When the splits make no difference."""
    assert check_splits(scripted(echo), b"hello") == b"hello"
    assert check_splits(scripted(echo), b"") == b""


def test_check_splits_closes_its_handlers() -> None:
    """Each is made, fed and closed."""
    made: list[Script] = []

    def factory(connection: Connection) -> Script:
        made.append(scripted(echo)(connection))
        return made[-1]

    check_splits(factory, b"ab")
    assert [handler.calls[1:-1] for handler in made] == [
        [b"ab"],
        [b"ab"],
        [b"a", b"b"],
        [b"a", b"b"],
    ]
    assert all(isinstance(handler.calls[-1], CloseReason) for handler in made)


def test_check_splits_finds_chunks_taken_for_messages() -> None:
    """The most common mistake; the text has the split and both outcomes."""
    with pytest.raises(AssertionError) as found:
        check_splits(scripted(lambda _, data: [Say(b"<" + data + b">")]), b"ab")

    for part in ("[b'a', b'b']", "b'<a><b>'", "b'<ab>'"):
        assert part in str(found.value)


def test_check_splits_finds_an_end_that_is_missed() -> None:
    """A handler that looks for its delimiter in one chunk only."""
    lines = scripted(lambda _, data: [Say(b"!")] * data.count(b"\r\n"))
    with pytest.raises(AssertionError):
        check_splits(lines, b"one\r\ntwo\r\n")

    assert check_splits(lines, b"one\r\ntwo\r\n", [[b"one\r\n", b"two\r\n"]]) == b"!!"


def test_check_splits_finds_different_errors() -> None:
    """Though the same bytes were sent."""

    def script(_: Script, data: bytes) -> None:
        if len(data) > 1:
            raise ProtocolError("too much at once")

    with pytest.raises(AssertionError, match="ProtocolError"):
        check_splits(scripted(script), b"ab")


def test_check_splits_finds_an_error_that_comes_too_soon() -> None:
    """Messages before an error have to be answered in every split."""

    def script(_: Script, data: bytes) -> Iterable[Message]:
        if b"!" in data:
            raise ProtocolError("not allowed")
        return [Say(data)]

    with pytest.raises(AssertionError):
        check_splits(scripted(script), b"ab!")


def test_check_splits_allows_the_same_error() -> None:
    """Where and how often the bytes are cut."""

    def script(_: Script, data: bytes) -> Iterator[Message]:
        for byte in data:
            if byte == ord("!"):
                raise ProtocolError("not allowed")
            yield Say(bytes([byte]))

    assert check_splits(scripted(script), b"ab!cd") == b"ab"
