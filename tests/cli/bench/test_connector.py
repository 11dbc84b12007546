"""The connector: every kind of target, and every way in which connecting fails."""

from __future__ import annotations

import socket
import ssl
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from speedo_trio.cli.bench.connector import Connector, make_connector
from speedo_trio.cli.bench.failure import Failure, Kind
from speedo_trio.cli.mistakes import Mistake
from tests.cli.bench.conftest import PATIENCE, Serve, echo, make_plan


def connector_for(url: str, **settings: Any) -> Connector:
    """The connector of a plan."""
    return make_connector(make_plan(url, **settings))


async def say_hello(connector: Connector) -> bytes:
    """Connect, send a line, and give what comes back."""
    with trio.fail_after(PATIENCE):
        opened = await connector.open_first()
        assert opened.took > 0
        assert await opened.wire.push(b"hello\n") == 6
        await opened.wire.readable()
        data = opened.wire.read(100)
        await opened.wire.close()
    assert data is not None
    return data


async def failure_to(connector: Connector) -> Failure:
    """What goes wrong when connecting."""
    with trio.fail_after(PATIENCE), pytest.raises(Failure) as failed:
        await connector.open_first()
    return failed.value


async def test_tcp(serve_tcp: Serve) -> None:
    """A server that echoes does."""
    assert await say_hello(connector_for(await serve_tcp(echo))) == b"hello\n"


async def test_requests_are_not_held_back(serve_tcp: Serve) -> None:
    """The kernel does not wait for more before it sends (TCP_NODELAY)."""
    opened = await connector_for(await serve_tcp(echo)).open_first()
    assert opened.socket is not None

    assert opened.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await opened.wire.close()


@pytest.fixture
async def unix(nursery: trio.Nursery, tmp_path: Path) -> str:
    """An echo server on a Unix socket."""
    listening = trio.socket.socket(socket.AF_UNIX)
    await listening.bind(str(tmp_path / "x"))
    listening.listen()
    nursery.start_soon(trio.serve_listeners, echo, [trio.SocketListener(listening)])
    return f"unix:{tmp_path}/x"


async def test_unix(unix: str) -> None:
    """The same over a Unix socket."""
    assert await say_hello(connector_for(unix)) == b"hello\n"


async def test_nobody_listens(tmp_path: Path) -> None:
    """Refused, and no such file."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        refused = await failure_to(connector_for(url))

    assert (refused.kind, str(refused)) == (Kind.REFUSED, "Connection refused")
    missing = await failure_to(connector_for(f"unix:{tmp_path}/x"))
    assert str(missing) == "No such file or directory"


async def test_what_the_kernel_refuses_at_once() -> None:
    """Nobody connects to a broadcast address."""
    assert (await failure_to(connector_for("tcp://255.255.255.255:1"))).kind is Kind.OTHER


class Resolver(trio.abc.HostnameResolver):
    """A name server that knows some addresses, the same for every name."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked = 0

    async def getaddrinfo(self, host: Any, port: Any, *args: Any) -> Any:
        self.asked += 1
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in self.addresses
        ]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


async def test_the_first_address_that_answers_is_kept(serve_tcp: Serve) -> None:
    """A name is looked up once; addresses where nobody listens are passed over once."""
    url = (await serve_tcp(echo)).replace("127.0.0.1", "server.example")
    resolver = Resolver("127.0.0.9", "127.0.0.1", "127.0.0.8")
    trio.socket.set_custom_hostname_resolver(resolver)
    connector = connector_for(url)
    assert await say_hello(connector) == b"hello\n"
    opened = await connector.open()
    assert opened.socket is not None

    assert opened.socket.getpeername()[0] == "127.0.0.1"
    assert resolver.asked == 1
    await opened.wire.close()


async def test_no_address_answers() -> None:
    """The last failure is told; or that there is no such name."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"tcp://server.example:{unused.getsockname()[1]}"
        trio.socket.set_custom_hostname_resolver(Resolver("127.0.0.1", "127.0.0.1"))
        assert (await failure_to(connector_for(url))).kind is Kind.REFUSED

    trio.socket.set_custom_hostname_resolver(Resolver())
    assert str(await failure_to(connector_for(url))) == "Name or service not known"


async def test_a_name_that_is_none() -> None:
    """A label that is too long for the DNS is a failure like others."""
    assert "too long" in str(await failure_to(connector_for(f"tcp://{'x' * 64}.example:1")))


@pytest.fixture
def full(tmp_path: Path) -> Any:  # Any: a generator of the server's socket
    """A Unix socket whose queue of connections is full."""
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as first:
        listening.bind(str(tmp_path / "full"))
        listening.listen(0)
        first.connect(str(tmp_path / "full"))
        yield listening


async def test_a_full_queue_is_waited_for(full: socket.socket, nursery: trio.Nursery) -> None:
    """Connecting to a Unix socket succeeds as soon as the server accepts."""
    connector = connector_for(f"unix:{full.getsockname()}")
    opened: list[Any] = []

    async def connect() -> None:
        opened.append(await connector.open_first())

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as connecting:
            connecting.start_soon(connect)
            await trio.testing.wait_all_tasks_blocked(0.005)
            assert opened == []
            full.accept()[0].close()
    await opened[0].wire.close()


async def test_connecting_takes_too_long(full: socket.socket) -> None:
    """It ends at the timeout, as a failure of that kind."""
    failure = await failure_to(connector_for(f"unix:{full.getsockname()}", timeout=0.05))

    assert (failure.kind, str(failure)) == (Kind.TIMEOUT, "no connection within 0.05 s")


# TLS


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """A certificate authority; ca.pem in the current directory."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path("ca.pem")
    return authority


@pytest.fixture
async def tls(authority: trustme.CA, nursery: trio.Nursery) -> str:
    """An echo server with a certificate for localhost; trusts clients of the same authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL

    async def handle(stream: trio.SSLStream[Any]) -> None:
        try:
            await stream.do_handshake()
            if stream.getpeercert():
                await stream.receive_some()
                await stream.send_all(
                    b"hello, " + stream.getpeercert()["subject"][0][0][1].encode()
                )
            await echo(stream)
        except trio.BrokenResourceError:
            pass

    start = partial(trio.serve_ssl_over_tcp, handle, 0, context, host="127.0.0.1")
    listeners = await nursery.start(start)
    return f"tls://localhost:{listeners[0].transport_listener.socket.getsockname()[1]}"


async def test_tls_with_its_authority(tls: str) -> None:
    """The certificate is checked against --ca."""
    assert await say_hello(connector_for(tls, ca=Path("ca.pem"))) == b"hello\n"


async def test_tls_without_its_authority(tls: str) -> None:
    """The system knows nothing of it, which is a failure; or nothing is checked."""
    failure = await failure_to(connector_for(tls))

    assert failure.kind is Kind.TLS
    assert str(failure).startswith("certificate verify failed: ")
    assert await say_hello(connector_for(tls, insecure=True)) == b"hello\n"


async def test_tls_for_another_name(tls: str) -> None:
    """A certificate for another host is none."""
    url = tls.replace("localhost", "127.0.0.1")
    failure = await failure_to(connector_for(url, ca=Path("ca.pem")))

    assert "127.0.0.1" in str(failure)
    assert failure.kind is Kind.TLS


async def test_tls_with_a_certificate(tls: str, authority: trustme.CA) -> None:
    """The server sees whose it is; key and certificate may be in one file or two."""
    issued = authority.issue_cert("client.example", organization_name="a client")
    issued.private_key_and_cert_chain_pem.write_to_path("both.pem")
    issued.private_key_pem.write_to_path("key.pem")
    issued.cert_chain_pems[0].write_to_path("cert.pem")

    for files in ({"cert": Path("both.pem")}, {"cert": Path("cert.pem"), "key": Path("key.pem")}):
        greeting = await say_hello(connector_for(tls, ca=Path("ca.pem"), **files))
        assert greeting.startswith(b"hello, ")


async def test_tls_to_who_does_not_speak_it(serve_tcp: Serve) -> None:
    """What comes back is no handshake."""
    url = (await serve_tcp(echo)).replace("tcp:", "tls:")

    assert (await failure_to(connector_for(url, insecure=True))).kind is Kind.TLS


async def test_tls_to_who_hangs_up(serve_tcp: Serve) -> None:
    """The end of the stream is no handshake either."""

    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.aclose()

    url = (await serve_tcp(hang_up)).replace("tcp:", "tls:")

    assert (await failure_to(connector_for(url, insecure=True))).kind in {Kind.TLS, Kind.RESET}


async def test_a_cancelled_handshake_leaves_nothing_open(serve_tcp: Serve) -> None:
    """The server sees the connection end."""
    ended = trio.Event()

    async def wait(stream: trio.SocketStream) -> None:
        async for _ in stream:
            pass
        ended.set()

    url = (await serve_tcp(wait)).replace("tcp:", "tls:")
    failure = await failure_to(connector_for(url, insecure=True, timeout=0.05))

    assert failure.kind is Kind.TIMEOUT
    with trio.fail_after(PATIENCE):
        await ended.wait()


@pytest.mark.parametrize("flag", ["ca", "cert"])
@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_certificate_that_cannot_be_read(flag: str, content: bytes | None) -> None:
    """A mistake that names flag and file."""
    if content is not None:
        Path("x.pem").write_bytes(content)
    with pytest.raises(Mistake, match=rf"^--{flag} x\.pem: \w"):
        connector_for("tls://x:1", **{flag: Path("x.pem")})


def test_a_websocket_needs_wsproto(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, it is said what to install."""
    monkeypatch.setitem(sys.modules, "wsproto", None)
    with pytest.raises(Mistake) as mistake:
        connector_for("ws://x")

    assert str(mistake.value) == (
        'ws://x/ needs wsproto; install it with pip install "speedo_trio[ws]"'
    )


async def test_websocket(serve_tcp: Serve) -> None:
    """Without TLS."""
    from tests.cli.bench.test_websocket import echo_messages

    url = (await serve_tcp(echo_messages)).replace("tcp:", "ws:")

    assert await say_hello(connector_for(f"{url}/x")) == b"hello\n"


async def test_websocket_over_tls(authority: trustme.CA, nursery: trio.Nursery) -> None:
    """Both handshakes, one after the other."""
    from tests.cli.bench.test_websocket import echo_messages

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    start = partial(trio.serve_ssl_over_tcp, echo_messages, 0, context, host="127.0.0.1")
    listeners = await nursery.start(start)
    port = listeners[0].transport_listener.socket.getsockname()[1]

    assert (
        await say_hello(connector_for(f"wss://localhost:{port}/x", ca=Path("ca.pem"))) == b"hello\n"
    )
