"""Wires: single steps over a real socket and over Trio streams, their errors translated."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from speedo_trio.errors import ConnectionLost
from speedo_trio.events import Address
from speedo_trio.io.wire import SocketWire, StreamWire, Wire, address_of

LISTENER = Address("tcp", host="192.0.2.1", port=9292)
MUCH = bytes(range(256)) * 32_768  # 8 MiB, more than socket buffers take


@pytest.fixture
def pair() -> Iterator[tuple[SocketWire, socket.socket]]:
    """A wire over a Unix socket, and its peer; both non-blocking."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield SocketWire(ours, "", LISTENER), theirs


@pytest.fixture
def tcp_pair() -> Iterator[tuple[SocketWire, socket.socket]]:
    """A wire over a TCP socket, and its peer; both non-blocking."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, name = listening.accept()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield SocketWire(ours, name, LISTENER), theirs


def reset(peer: socket.socket) -> None:
    """Close so that the other side sees a reset."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


async def ends(call: Callable[[], Awaitable[object]], close: Callable[[], Awaitable[None]]) -> None:
    """See that a waiting call ends, in whatever way, when the wire is closed."""
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises((ConnectionLost, trio.ClosedResourceError)):
                    await call()

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            await close()


# Sockets


async def test_socket_addresses(tcp_pair: tuple[SocketWire, socket.socket]) -> None:
    """Both ends, as they really are."""
    wire, peer = tcp_pair

    assert wire.peer == address_of(peer.getsockname())
    assert wire.local == address_of(peer.getpeername())


async def test_socket_addresses_after_the_close(
    tcp_pair: tuple[SocketWire, socket.socket],
) -> None:
    """The peer's stays known; this end's is then the listener's."""
    wire, peer = tcp_pair
    await wire.close()

    assert wire.peer == address_of(peer.getsockname())
    assert wire.local == LISTENER


async def test_socket_read(pair: tuple[SocketWire, socket.socket]) -> None:
    """At most what is asked for; None when there is nothing yet; b"" when the peer has ended."""
    wire, peer = pair
    assert wire.read(10) is None
    peer.send(b"hello")

    assert wire.unread() == 5
    assert wire.read(3) == b"hel"
    assert wire.unread() == 2
    assert wire.read(10) == b"lo"
    assert wire.read(10) is None
    peer.shutdown(socket.SHUT_WR)
    assert wire.read(10) == b""
    assert wire.read(10) == b""
    assert wire.unread() == 0


async def test_socket_readable_waits(pair: tuple[SocketWire, socket.socket]) -> None:
    """Until there are bytes, or the end."""
    wire, peer = pair

    async def wait() -> None:
        await wire.readable()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            peer.send(b"x")
        await wire.readable()
        assert wire.read(10) == b"x"
        peer.close()
        await wire.readable()
        assert wire.read(10) == b""


async def test_cancelled_socket_readable_loses_nothing(
    pair: tuple[SocketWire, socket.socket],
) -> None:
    """What comes later is read later."""
    wire, peer = pair
    with trio.move_on_after(0.01) as scope:
        await wire.readable()
    peer.send(b"x")

    assert scope.cancelled_caught
    with trio.fail_after(5):
        await wire.readable()
    assert wire.read(10) == b"x"


async def test_socket_send_nowait_sends_what_fits(
    pair: tuple[SocketWire, socket.socket],
) -> None:
    """It tells how many bytes that was, 0 when none; what it told is what arrives."""
    wire, peer = pair
    sent = wire.send_nowait(MUCH)
    assert 0 < sent < len(MUCH)
    while more := wire.send_nowait(memoryview(MUCH)[sent:]):
        sent += more
    assert wire.send_nowait(b"x") == 0

    arrived = bytearray()
    while len(arrived) < sent:
        arrived += peer.recv(1_000_000)
    assert arrived == MUCH[:sent]


async def test_socket_send_nowait_from_a_thread(pair: tuple[SocketWire, socket.socket]) -> None:
    """Any thread may send."""
    wire, peer = pair

    assert await trio.to_thread.run_sync(wire.send_nowait, b"hello") == 5
    assert peer.recv(10) == b"hello"


async def test_socket_push_waits_for_room(pair: tuple[SocketWire, socket.socket]) -> None:
    """It sends at least a byte, however long that takes."""
    wire, peer = pair
    filled = wire.send_nowait(MUCH)
    while more := wire.send_nowait(MUCH):
        filled += more
    pushed: list[int] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            async def push() -> None:
                pushed.append(await wire.push(MUCH))

            nursery.start_soon(push)
            await trio.testing.wait_all_tasks_blocked()
            assert pushed == []
            while filled > 0:
                filled -= len(peer.recv(filled))

    assert pushed[0] > 0


@pytest.mark.parametrize("step", ["read", "send_nowait", "push"])
async def test_reset_socket_is_lost(step: str, tcp_pair: tuple[SocketWire, socket.socket]) -> None:
    """A reset is a ConnectionLost with the system's error as its cause and text."""
    wire, peer = tcp_pair
    reset(peer)

    async def read() -> None:
        wire.read(10)

    async def send_nowait() -> None:
        wire.send_nowait(b"x")

    steps: dict[str, Callable[[], Awaitable[object]]] = {
        "read": read,
        "send_nowait": send_nowait,
        "push": partial(wire.push, b"x"),
    }
    with trio.fail_after(5):
        await wire.readable()
        with pytest.raises(ConnectionLost) as lost:
            await steps[step]()

    assert isinstance(lost.value.__cause__, OSError)
    assert str(lost.value) == str(lost.value.__cause__)


async def test_socket_send_eof(pair: tuple[SocketWire, socket.socket]) -> None:
    """The peer reads the end, and can still send."""
    wire, peer = pair
    wire.send_nowait(b"last")
    await wire.send_eof()

    assert peer.recv(10) == b"last"
    assert peer.recv(10) == b""
    peer.send(b"more")
    assert wire.read(10) == b"more"


async def test_socket_send_eof_to_a_reset_peer(
    tcp_pair: tuple[SocketWire, socket.socket],
) -> None:
    """Telling the end to a peer that is gone is a loss."""
    wire, peer = tcp_pair
    reset(peer)
    with trio.fail_after(5):
        await wire.readable()
    with pytest.raises(ConnectionLost):
        await wire.send_eof()


async def test_socket_close(pair: tuple[SocketWire, socket.socket]) -> None:
    """The peer reads the end; once more does nothing; every further step is a loss."""
    wire, peer = pair
    await wire.close()
    await wire.close()

    assert peer.recv(10) == b""
    assert wire.unread() == 0
    for step in (lambda: wire.read(1), lambda: wire.send_nowait(b"x")):
        with pytest.raises(ConnectionLost):
            step()
    with pytest.raises(ConnectionLost), trio.fail_after(5):
        await wire.push(b"x")
    with pytest.raises(ConnectionLost):
        await wire.send_eof()


async def test_socket_close_ends_those_who_wait(pair: tuple[SocketWire, socket.socket]) -> None:
    """One that waits for bytes and one that waits for room both end."""
    wire, _ = pair
    while wire.send_nowait(MUCH):
        pass
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            async def push() -> None:
                with pytest.raises(ConnectionLost):
                    await wire.push(b"x")

            nursery.start_soon(push)
            await ends(wire.readable, wire.close)


# Streams


class OneWay(trio.abc.Stream):
    """A stream without an end of its own, as TLS is, that does and fails as it is told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.sent = bytearray()
        self.closed = 0

    def _step(self) -> None:
        if self.error is not None:
            raise self.error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._step()
        self.sent += data

    async def wait_send_all_might_not_block(self) -> None:
        raise AssertionError

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        self._step()
        return b"data"[:max_bytes]

    async def aclose(self) -> None:
        self.closed += 1
        self._step()
        await trio.lowlevel.checkpoint()


async def test_stream_addresses() -> None:
    """Nothing is known of either end."""
    wire = StreamWire(OneWay(), 10)

    assert str(wire.peer) == str(wire.local) == "stream:"


async def test_stream_read() -> None:
    """What readable() brought, in pieces as asked for; then None until the next time."""
    ours, theirs = trio.testing.memory_stream_pair()
    wire = StreamWire(ours, 5)
    assert wire.read(10) is None
    await theirs.send_all(b"hello world")
    with trio.fail_after(5):
        await wire.readable()

    assert wire.unread() == 5
    assert wire.read(2) == b"he"
    assert wire.unread() == 3
    await wire.readable()  # does not wait, nor lose what is left
    assert wire.read(10) == b"llo"
    assert wire.read(10) is None
    await wire.readable()
    assert wire.read(10) == b" worl"


async def test_stream_end() -> None:
    """It is told once readable() has met it, and stays."""
    ours, theirs = trio.testing.memory_stream_pair()
    wire = StreamWire(ours, 5)
    await theirs.send_all(b"x")
    await theirs.send_eof()
    with trio.fail_after(5):
        await wire.readable()
        assert wire.read(10) == b"x"
        assert wire.read(10) is None
        await wire.readable()
        assert wire.read(10) == b""
        await wire.readable()
        assert wire.read(10) == b""


async def test_stream_data_is_bytes() -> None:
    """A handler gets bytes though the stream gives a bytearray."""
    ours, theirs = trio.testing.memory_stream_pair()
    wire = StreamWire(ours, 5)
    await theirs.send_all(b"hello")
    await wire.readable()

    assert type(wire.read(5)) is bytes


async def test_cancelled_stream_readable_loses_nothing() -> None:
    """What comes later is read later."""
    ours, theirs = trio.testing.memory_stream_pair()
    wire = StreamWire(ours, 5)
    with trio.move_on_after(0.01) as scope:
        await wire.readable()
    await theirs.send_all(b"x")

    assert scope.cancelled_caught
    with trio.fail_after(5):
        await wire.readable()
    assert wire.read(10) == b"x"


async def test_stream_never_sends_without_waiting() -> None:
    """Only a task can send on a stream."""
    stream = OneWay()

    assert StreamWire(stream, 5).send_nowait(b"hello") == 0
    assert stream.sent == b""


async def test_stream_push_waits_for_the_peer() -> None:
    """Over a stream without buffers it returns when the peer has received."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    wire = StreamWire(ours, 5)
    pushed: list[int] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            async def push() -> None:
                data = memoryview(b"hello world")
                while data:
                    pushed.append(await wire.push(data))
                    data = data[pushed[-1] :]

            nursery.start_soon(push)
            await trio.testing.wait_all_tasks_blocked()
            assert pushed == []
            received = bytearray()
            while len(received) < 11:
                received += await theirs.receive_some(4)

    assert received == b"hello world"
    assert sum(pushed) == 11


async def test_stream_send_eof() -> None:
    """A stream that can end one way does."""
    ours, theirs = trio.testing.memory_stream_pair()
    await StreamWire(ours, 5).send_eof()

    with trio.fail_after(5):
        assert await theirs.receive_some() == b""


async def test_stream_without_an_end() -> None:
    """Where a stream can't end one way, nothing happens."""
    stream = OneWay()
    await StreamWire(stream, 5).send_eof()

    assert stream.closed == 0


async def test_broken_stream_is_lost() -> None:
    """The text is the broken stream's cause, if it has one."""
    broken = trio.BrokenResourceError()
    broken.__cause__ = ConnectionResetError(104, "Connection reset by peer")
    wire = StreamWire(OneWay(broken), 5)
    for step in (wire.readable, lambda: wire.push(b"x")):
        with pytest.raises(ConnectionLost) as lost:
            await step()
        assert lost.value.__cause__ is broken
        assert str(lost.value) == "[Errno 104] Connection reset by peer"


async def test_loss_without_a_text_has_the_errors_name() -> None:
    """A report is never empty."""
    wire = StreamWire(OneWay(trio.ClosedResourceError()), 5)
    with pytest.raises(ConnectionLost, match=r"^ClosedResourceError$"):
        await wire.readable()


@pytest.mark.parametrize("error", [RuntimeError("odd"), OSError(5, "EIO"), ValueError()])
async def test_whatever_a_stream_raises_is_its_loss(error: Exception) -> None:
    """A stream that the application brought harms only its own connection."""
    wire = StreamWire(OneWay(error), 5)
    for step in (wire.readable, lambda: wire.push(b"x"), wire.close):
        with pytest.raises(ConnectionLost) as lost:
            await step()
        assert lost.value.__cause__ is error


class TwoWays(OneWay, trio.abc.HalfCloseableStream):
    """A stream that can end one way, and fails to when it is told."""

    async def send_eof(self) -> None:
        self._step()


@pytest.mark.parametrize("error", [trio.BrokenResourceError("gone"), OSError("gone")])
async def test_stream_send_eof_to_a_peer_that_is_gone(error: Exception) -> None:
    """Is a loss as well."""
    with pytest.raises(ConnectionLost, match=r"^gone$"):
        await StreamWire(TwoWays(error), 5).send_eof()


async def test_stream_close_does_not_wait() -> None:
    """The stream is closed by force, with no goodbye that could take time."""
    stream = OneWay()
    with trio.fail_after(5):
        await StreamWire(stream, 5).close()

    assert stream.closed == 1


async def test_stream_close_ends_those_who_wait() -> None:
    """Reading and sending."""
    ours, _theirs = trio.testing.lockstep_stream_pair()
    wire = StreamWire(ours, 5)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            async def push() -> None:
                with pytest.raises(ConnectionLost):
                    await wire.push(b"x")

            nursery.start_soon(push)
            await ends(wire.readable, wire.close)


# Addresses


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (("127.0.0.1", 9292), "tcp://127.0.0.1:9292"),
        (("::1", 9292, 0, 0), "tcp://[::1]:9292"),
        (("fe80::1%eth0", 9292, 0, 2), "tcp://[fe80::1]:9292"),
        ("/run/s", "unix:/run/s"),
        ("", "unix:"),
        (b"\0abstract", "unix:\0abstract"),
    ],
)
def test_address_of(name: object, text: str) -> None:
    """Names as the socket module gives them."""
    assert str(address_of(name)) == text


async def test_address_of_an_accepted_unix_peer(tmp_path: Path) -> None:
    """It has no path of its own; its server's has."""
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(f"{tmp_path}/s")
        listening.listen()
        client.connect(f"{tmp_path}/s")
        accepted, name = listening.accept()
    wire: Wire = SocketWire(accepted, name, LISTENER)

    assert str(wire.peer) == "unix:"
    assert str(wire.local) == f"unix:{tmp_path}/s"
    await wire.close()
