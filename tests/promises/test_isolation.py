"""Promise 4: whatever a peer sends and a handler raises costs its own connection, told once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import trio
import trio.testing
from attrs import evolve

from speedo_trio import (
    Cause,
    CloseReason,
    Connection,
    Event,
    HandlerError,
    IncompleteFrame,
    Message,
    ProtocolError,
    ProtocolHandler,
    Workers,
    serve,
)
from tests.promises.scene import (
    QUICK,
    Await,
    Blocker,
    Peer,
    Run,
    Scripted,
    echo,
    echo_async,
    serving,
    until,
)

if TYPE_CHECKING:
    from speedo_trio.protocol.handler import Messages


class Odd(BaseException):
    """What some libraries raise for an error that nobody is to catch."""


MakeError: TypeAlias = Callable[[], BaseException]

ERRORS: dict[str, MakeError] = {
    "Exception": lambda: ValueError("a bug"),
    "SystemExit": lambda: SystemExit(1),
    "BaseException": lambda: Odd("a bug"),
    "StopIteration": lambda: StopIteration("a bug"),
    "group": lambda: ExceptionGroup("bugs", [ValueError("a bug")]),
    "odd group": lambda: BaseExceptionGroup("bugs", [SystemExit(1), Odd("a bug")]),
}
"""What code may raise by mistake or on purpose."""


class Faulty(Scripted):
    """Raises in one of its callbacks."""

    place: str
    error: MakeError

    def at(self, place: str) -> None:
        if self.place == place:
            raise self.error()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.victim = self.connection.id == 1
        if self.victim:
            self.at("factory")

    def encoder(self) -> Callable[[bytes], bytes]:
        if self.victim:
            self.at("encoder")
        return self.encode

    def encode(self, reply: bytes) -> bytes:
        if self.victim and reply == b"bad":
            self.at("encode")
        return reply + b"\n"

    def opened(self) -> None:
        if self.victim:
            self.at("opened")

    def frame(self, line: bytes) -> Message | None:
        if self.victim and line == b"bad":
            self.at("frame")
        return super().frame(line)

    def handle(self, data: bytes) -> Messages:
        if self.victim and b"bad" in data:
            self.at("handle")
            if self.place == "generator":
                return self.generator()
        return super().handle(data)

    def generator(self) -> Iterator[Message]:
        yield echo(self.connection, b"good")
        self.at("generator")

    def eof(self) -> Messages:
        if self.victim:
            self.at("eof")
        return super().eof()

    def failed(self, message: Message, error: BaseException) -> None:
        if self.victim:
            self.at("failed")

    def closed(self, reason: CloseReason) -> None:
        super().closed(reason)
        if self.victim:
            self.at("closed")


def faulty_messages(place: str, error: MakeError) -> Callable[[Connection, bytes], Message]:
    """The script whose message for ``bad`` raises, when that is the place; others are echoed."""

    def fail() -> bytes:
        raise error()

    async def fail_async() -> bytes:
        raise error()

    async def fail_later() -> bytes:
        await trio.lowlevel.checkpoint()
        raise error()

    def script(connection: Connection, line: bytes) -> Message:
        if line == b"bad" and connection.id == 1:
            if place in ("thread", "failed"):
                return Run(fail)
            if place == "task":
                return Await(fail_async)
            if place == "task, later":
                return Await(fail_later)
        return echo(connection, line)

    return script


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize(
    "place",
    [
        "factory",
        "encoder",
        "opened",
        "handle",
        "generator",
        "frame",
        "eof",
        "failed",
        "closed",
        "encode",
        "thread",
        "task",
        "task, later",
    ],
)
async def test_an_error_costs_its_connection_only(place: str, kind: str) -> None:
    """Wherever it is raised: others go on being served, and it is told once, with the address."""
    error = ERRORS[kind]

    class Here(Faulty):
        pass

    Here.place, Here.error = place, staticmethod(error)
    async with serving(faulty_messages(place, error), kind=Here) as stage:
        victim, other = await stage.peers_of(2)
        name = victim.name
        await other.send(b"before\n")
        assert await other.line() == b"before"
        await _say_all(victim, end=place in ("eof", "closed"))
        answers = await _read_all(victim)
        victim.close()
        await until(lambda: len(stage.server.connections) == 1)

        assert name in [failure.peer for failure in stage.record.failures]
        (failure,) = stage.record.failures
        assert failure.connection == 1
        assert failure.reason.cause is Cause.HANDLER_ERROR
        assert isinstance(failure.reason.error, type(error()) | RuntimeError | HandlerError)

        if place in ("frame", "failed", "encode", "thread", "task", "task, later"):
            assert answers == b"good\n" * 3
        assert len(stage.record.ends(1)) == (place != "factory")
        if place not in ("factory", "closed"):
            assert stage.record.ends(1)[0].cause is Cause.HANDLER_ERROR
        await other.send(b"after\n")
        assert await other.line() == b"after"
        await stage.works()


async def _say_all(peer: Peer, *, end: bool) -> None:
    """Three good lines, a bad one and more good ones; the server may close meanwhile."""
    try:
        await peer.send(b"good\n" * 3 + b"bad\n" + b"never\n" * 3)
        if end:
            await peer.end()
    except (OSError, trio.BrokenResourceError):
        pass


async def _read_all(peer: Peer) -> bytes:
    try:
        return await peer.rest()
    except trio.BrokenResourceError:
        return b""


@pytest.mark.parametrize("reply", ["text", 5, ["list"], bytearray(b"bytes"), object()], ids=type)
@pytest.mark.parametrize("tasks", [False, True], ids=["thread", "task"])
async def test_a_reply_that_is_not_bytes(reply: Any, *, tasks: bool) -> None:
    """It is the handler's error, and the text says what was given and what is allowed."""

    def script(connection: Connection, line: bytes) -> Message:
        async def execute() -> bytes:
            return reply  # type: ignore[no-any-return]  # the mistake

        if connection.id != 1:
            return echo(connection, line)
        return Await(execute) if tasks else Run(lambda: reply)

    async with serving(script) as stage:
        peer = await stage.peer()
        await peer.send(b"line\n")

        assert await peer.ended()
        (failure,) = stage.record.failures
        assert isinstance(failure.reason.error, HandlerError)
        assert type(reply).__name__ in str(failure.reason.error)
        assert "bytes" in str(failure.reason.error)
        await stage.works()


@pytest.mark.parametrize("given", [b"bytes", None, 5, Message], ids=repr)
@pytest.mark.parametrize("first", [False, True], ids=["after a message", "first"])
async def test_a_handler_that_gives_what_is_no_message(given: Any, *, first: bool) -> None:
    """It is the handler's error; messages before it are answered."""

    class Mistaken(Scripted):
        def handle(self, data: bytes) -> Iterator[Message]:
            if self.connection.id != 1:
                yield echo(self.connection, data.strip())
                return
            if not first:
                yield echo(self.connection, b"good")
            yield given
            yield echo(self.connection, b"never")

    async with serving(kind=Mistaken) as stage:
        peer = await stage.peer()
        await peer.send(b"go\n")

        assert (b"" if first else b"good\n") == await peer.rest()
        (failure,) = stage.record.failures
        assert isinstance(failure.reason.error, HandlerError | TypeError)
        await stage.works()


@pytest.mark.parametrize(
    "given", [5, Run(lambda: None), object()], ids=["int", "message", "object"]
)
async def test_a_callback_that_gives_nothing_to_iterate(given: Any) -> None:
    """It is the handler's error too."""

    class Mistaken(Scripted):
        def opened(self) -> Messages:
            return given if self.connection.id == 1 else None

    async with serving(kind=Mistaken) as stage:
        assert await (await stage.peer()).ended()
        await until(lambda: stage.record.causes == [Cause.HANDLER_ERROR])
        await stage.works()


@pytest.mark.parametrize("given", [None, 5, Scripted], ids=["None", "int", "class"])
async def test_a_factory_that_gives_no_handler(given: Any) -> None:
    """The connection is refused and it is told; the next one may get a handler."""
    made = 0

    class Late(ProtocolHandler):
        def handle(self, data: bytes) -> list[Message]:
            return [Run(lambda: data)]

    def factory(connection: Connection) -> ProtocolHandler:
        nonlocal made
        made += 1
        return given if made == 1 else Late(connection)

    async with serving(factory=factory) as stage:
        assert await (await stage.peer()).ended()
        (failure,) = stage.record.failures
        assert isinstance(failure.reason.error, HandlerError)
        await stage.works()


class Forgiving(Scripted):
    """Answers errors."""

    def failed(self, message: Message, error: BaseException) -> bytes:
        return b"error: " + str(error).encode()


@pytest.mark.parametrize("workers", [1, 4])
async def test_a_handler_may_turn_errors_into_replies(workers: int) -> None:
    """Then the connection goes on and the replies keep their order; nothing is reported."""

    def script(connection: Connection, line: bytes) -> Message:
        def fail() -> bytes:
            raise ValueError(line.decode())

        async def fail_async() -> bytes:
            return fail()

        number = int(line)
        return (Run(fail), Await(fail_async), echo(connection, line))[number % 7 % 3]

    config = evolve(QUICK, workers=Workers(count=workers))
    async with serving(script, kind=Forgiving, config=config) as stage:
        peer = await stage.peer()
        await peer.send(b"".join(b"%d\n" % number for number in range(300)))

        for number, line in enumerate(await peer.lines(300)):
            assert line == (b"%d" if number % 7 % 3 == 2 else b"error: %d") % number
        assert stage.record.failures == []
        assert stage.server.stats().executed == 300


@pytest.mark.parametrize("reply", ["text", 5, bytearray(b"bytes")], ids=repr)
async def test_failed_that_gives_no_bytes(reply: Any) -> None:
    """It is the handler's error, not the message's."""

    class Mistaken(Scripted):
        def failed(self, message: Message, error: BaseException) -> bytes:
            return reply  # type: ignore[no-any-return]

    def script(connection: Connection, line: bytes) -> Message:
        return Run(_fail) if line == b"bad" else echo(connection, line)

    async with serving(script, kind=Mistaken) as stage:
        peer = await stage.peer()
        await peer.send(b"bad\n")

        assert await peer.ended()
        (failure,) = stage.record.failures
        assert isinstance(failure.reason.error, HandlerError)
        await stage.works()


def _fail() -> bytes:
    raise ValueError("a bug")


@pytest.mark.parametrize("kind", ["Exception", "SystemExit", "BaseException", "odd group"])
async def test_an_observer_that_raises_harms_nobody(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What it raises is logged; the failing connection still ends, others don't."""
    caplog.set_level(logging.CRITICAL, logger="speedo_trio")

    make_error = ERRORS[kind]

    def observe(event: Event) -> None:
        raise make_error()

    def script(connection: Connection, line: bytes) -> Message:
        return Run(_fail) if line == b"bad" else echo(connection, line)

    async with serving(script, observer=observe) as stage:
        peer = await stage.peer()
        await peer.send(b"bad\n")
        assert await peer.ended()
        await stage.works()
        await stage.server.drain()


@pytest.mark.parametrize("data", [b"line without end", b"good\nline without end"])
async def test_a_peer_that_breaks_the_protocol(data: bytes) -> None:
    """What it sent before is answered; it is told once, as the peer's mistake."""
    async with serving() as stage:
        peer = await stage.peer()
        await peer.send(data)
        await peer.end()

        assert (b"good\n" if data.startswith(b"good") else b"") == await peer.rest()
        (failure,) = stage.record.failures
        assert failure.reason.cause is Cause.PROTOCOL_ERROR
        assert isinstance(failure.reason.error, IncompleteFrame)
        assert failure.peer == peer.name
        await stage.works()


@pytest.mark.parametrize("tasks", [False, True], ids=["thread", "task"])
async def test_a_message_may_say_that_the_peer_erred(*, tasks: bool) -> None:
    """A `ProtocolError` out of a message is the peer's, and the rest is dropped."""

    async def fail() -> bytes:
        raise ProtocolError("not so")

    def script(connection: Connection, line: bytes) -> Message:
        if line != b"bad":
            return echo(connection, line)
        return Await(fail) if tasks else Run(lambda: trio.from_thread.run(fail))

    async with serving(script) as stage:
        peer = await stage.peer()
        await peer.send(b"good\nbad\nnever\n")

        assert await peer.rest() == b"good\n"
        (failure,) = stage.record.failures
        assert failure.reason.cause is Cause.PROTOCOL_ERROR
        assert failure.message is not None


async def test_a_generators_error_waits_for_the_messages_before_it(blocker: Blocker) -> None:
    """When reading ends while a generator has more to give, its error costs no reply either."""
    last = Blocker()

    class Lazy(Scripted):
        def handle(self, data: bytes) -> Iterator[Message]:
            yield Run(self.close_and_block)
            for number in range(4):
                yield echo(self.connection, b"%d" % number)
            yield echo_async(self.connection, b"4")  # so that the last has a turn of its own
            yield Run(last)
            raise ProtocolError("no more")

        def close_and_block(self) -> bytes:
            self.connection.close()
            return blocker()

    config = evolve(QUICK, limits=evolve(QUICK.limits, lane_messages=2))
    async with serving(kind=Lazy, config=config) as stage:
        peer = await stage.peer()
        await peer.send(b"go")
        await blocker.reached()
        blocker.free()
        await until(lambda: len(stage.record.failures) == 1)
        await last.reached()
        last.free()

        assert await peer.rest() == b"free\n0\n1\n2\n3\n4\nfree\n"


async def test_two_errors_of_one_connection_are_one_failure(blocker: Blocker) -> None:
    """A message fails after the peer has broken the protocol: that was told already."""

    class Short(Scripted):
        limit = 10

    def script(connection: Connection, line: bytes) -> Message:
        return Run(lambda: blocker() + _fail())

    async with serving(script, kind=Short) as stage:
        peer = await stage.peer()
        await peer.send(b"bad\n" + bytes(11))
        await blocker.reached()
        await until(lambda: stage.record.failures != [])
        blocker.free()
        await until(lambda: stage.record.endings != [])

        assert len(stage.record.failures) == len(stage.record.endings) == 1


@pytest.mark.parametrize("last", [ValueError, KeyError, Odd])
async def test_a_nursery_of_a_message_that_fails_while_it_is_cancelled(
    last: type[BaseException],
) -> None:
    """An async message is cancelled, and raises as it is: that too is its own affair."""
    inside = trio.Event()

    async def clean_up_badly() -> None:
        try:
            inside.set()
            await trio.sleep_forever()
        finally:
            raise last("while cleaning up")

    async def execute() -> bytes:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clean_up_badly)
            nursery.start_soon(trio.sleep_forever)
        raise AssertionError

    def script(connection: Connection, line: bytes) -> Message:
        return Await(execute) if line == b"go" else echo(connection, line)

    async with serving(script) as stage:
        peer = await stage.peer()
        await peer.send(b"go\n")
        await inside.wait()
        peer.reset()
        await until(lambda: stage.record.endings != [])
        for _ in range(3):
            await stage.works()


async def test_a_message_that_swallows_its_cancelling() -> None:
    """It ends all the same with its connection; the worker is as good as before."""
    inside = trio.Event()

    async def execute() -> bytes:
        try:
            inside.set()
            await trio.sleep_forever()
        except BaseException:  # noqa: BLE001  # the mistake
            return b"swallowed"
        raise AssertionError

    def script(connection: Connection, line: bytes) -> Message:
        if line == b"go":
            return Await(execute)
        return echo(connection, line)

    config = evolve(QUICK, workers=Workers(count=1))
    async with serving(script, config=config) as stage:
        peer = await stage.peer()
        await peer.send(b"go\nnever\n")
        await inside.wait()
        stage.connection(1).abort()
        await until(lambda: stage.record.endings != [])
        await stage.works()


class Broken(trio.abc.Stream):
    """A stream that the application brought, and that raises what Trio's streams don't."""

    def __init__(self, place: str, error: MakeError) -> None:
        self._place = place
        self._error = error

    async def _at(self, place: str) -> None:
        await trio.lowlevel.checkpoint()
        if place == self._place:
            raise self._error()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await self._at("receive_some")
        if self._place == "send_all":
            return b"line\n"
        return b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._at("send_all")

    async def wait_send_all_might_not_block(self) -> None:
        raise AssertionError

    async def aclose(self) -> None:
        await self._at("aclose")
        if self._place == "aclose":
            raise AssertionError


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("place", ["receive_some", "send_all", "aclose"])
async def test_a_stream_of_the_application_that_raises(place: str, kind: str) -> None:
    """Whatever a stream raises ends its connection only."""
    async with serving() as stage:
        await stage.server.serve_stream(Broken(place, ERRORS[kind]))

        assert len(stage.record.endings) == 1
        await stage.works()


async def test_the_hard_stop_is_no_error_of_a_message() -> None:
    """Messages that are cancelled, each with a nursery full of tasks, have not failed."""
    inside = 0

    async def execute() -> bytes:
        nonlocal inside
        inside += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                nursery.start_soon(trio.sleep_forever)
        except trio.Cancelled as cancelled:  # as nurseries did before Trio 0.33, and others do
            raise BaseExceptionGroup("all cancelled", [cancelled]) from None
        raise AssertionError

    async with serving(lambda *_: Await(execute)) as stage:
        for peer in await stage.peers_of(3):
            await peer.send(b"go\n")
        await until(lambda: inside == 3)
        stage.scope.cancel()
        await stage.stopped.wait()

        assert stage.record.failures == []
        assert stage.record.causes == [Cause.STOPPED] * 3


@pytest.mark.parametrize("grouped", [False, True])
async def test_an_interrupt_is_nobodys_error(*, grouped: bool) -> None:
    """Ctrl-C, which Python may raise in whatever runs, ends the server and not a connection."""

    def interrupt() -> BaseException:
        if grouped:
            return BaseExceptionGroup("", [KeyboardInterrupt(), ValueError()])
        return KeyboardInterrupt()

    async def execute() -> bytes:
        raise interrupt()

    async def run() -> None:
        async with serving(lambda *_: Await(execute)) as stage:
            peer = await stage.peer()
            await peer.send(b"go\n")
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as raised:
        await run()
    assert raised.value.subgroup(KeyboardInterrupt) is not None


async def test_the_servers_own_errors_surface(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in the server itself is not taken for a connection's: `serve` raises it."""

    def break_down(*args: object) -> None:
        raise ZeroDivisionError("our bug")

    async def run() -> None:
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                server = await nursery.start(serve, Forgiving)
                server._house.border.soon(break_down)

    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True, allow_unwrapped=True):
        await run()


async def test_the_log_has_each_failure_once(caplog: pytest.LogCaptureFixture) -> None:
    """The default observer writes one error, with the peer's address and the message."""

    def script(connection: Connection, line: bytes) -> Message:
        return Run(_fail)

    from speedo_trio import EventLog

    async with serving(script, observer=EventLog()) as stage:
        peer = await stage.peer()
        await peer.send(b"bad\nbad\n")
        assert await peer.ended()

        (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert str(peer.name) in record.getMessage()
        assert record.exc_info is not None
        caplog.clear()
