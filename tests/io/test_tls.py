"""TLS: what files make a context, who is let in, and bytes both ways whatever happens between."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio
import trustme
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from speedo_trio.config import Limits
from speedo_trio.errors import ConfigError, ConnectionLost, HandshakeError
from speedo_trio.events import Address
from speedo_trio.io.border import Border
from speedo_trio.io.connection import WireConnection
from speedo_trio.io.layer import arrived
from speedo_trio.io.tls import TLSFiles, TLSWire, Turns, accept_tls, server_context
from speedo_trio.io.wire import Data, SocketWire, StreamWire, Wire
from tests.io.scripted import ScriptedWire, WriterOwner

MUCH = bytes(range(256)) * 8192
"""2 MiB."""

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
both_versions = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])


class Files(NamedTuple):
    """Certificates on disk."""

    folder: Path
    authority: trustme.CA
    cert: str
    key: str
    ca: str

    def write(self, name: str, data: bytes) -> str:
        """One more file."""
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def server(self, **more: Any) -> ssl.SSLContext:
        """A context for the server."""
        return server_context(TLSFiles(cert=self.cert, key=self.key, **more))

    def client(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """A context for a client that trusts the server."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    def certified(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """A context for a client that has a certificate."""
        context = self.client(version)
        self.authority.issue_cert("client@example.org").configure_cert(context)
        return context


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A server's files, made once."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for number, pem in enumerate(issued.cert_chain_pems):
        pem.write_to_path(folder / "cert.pem", append=number > 0)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    names = [str(folder / name) for name in ("cert.pem", "key.pem", "ca.pem")]
    return Files(folder, authority, *names)


class PeerWire(ScriptedWire):
    """A wire whose other end is a TLS client in memory, which acts when the server waits."""

    def __init__(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        super().__init__()
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_hostname="localhost", session=session
        )
        self.failed: ssl.SSLError | None = None
        self._taken = 0

    async def readable(self) -> None:
        """Let the client go on with its handshake; what it then has to say arrives."""
        if not (self._arrived or self._ended or self.failed):
            try:
                self.act(self.tls.do_handshake)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                self.failed = error
        await super().readable()

    def act(self, call: Callable[..., Any], *args: object) -> Any:
        """Have the client do something with what has come, and send what it says."""
        self.incoming.write(self.sent[self._taken :])
        self._taken = len(self.sent)
        try:
            return call(*args)
        finally:
            if self.outgoing.pending:
                self.arrive(self.outgoing.read())


async def met(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[TLSWire, PeerWire]:
    """Both ends after the handshake."""
    below = PeerWire(client, session)
    with trio.fail_after(10):
        wire = await accept_tls(below, server)
    below.act(below.tls.do_handshake)
    return wire, below


def read_all(wire: Wire) -> bytes:
    """What can be read without waiting."""
    return b"".join(arrived(wire, 100_000))


# Files


def test_context(files: Files) -> None:
    """TLS 1.2 and later, no weak ciphers, certificates of clients only if asked for."""
    context = files.server()

    assert context.minimum_version == V12
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    old = [each["name"] for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"]
    assert old
    assert all(name.startswith("ECDHE-") for name in old)
    assert all("GCM" in name or "CHACHA20" in name for name in old)
    assert context.verify_mode is ssl.CERT_NONE
    assert files.server(ca=files.ca).verify_mode is ssl.CERT_REQUIRED


def test_key_in_the_file_of_the_certificate(files: Files) -> None:
    """Needs no name of its own."""
    both = files.write("both.pem", Path(files.key).read_bytes() + Path(files.cert).read_bytes())

    assert server_context(TLSFiles(cert=both)).verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("which", ["cert", "key", "ca"])
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "No such file or directory"),
        ("folder", "Is a directory"),
        (b"", "there is no .* in it; allowed is PEM"),
        (b"\x30\x82\x01\x0a DER", "there is no .* in it; allowed is PEM"),
    ],
)
def test_wrong_file(files: Files, which: str, content: bytes | str | None, text: str) -> None:
    """The error names the file and what is wrong with it."""
    path = files.folder / f"wrong-{which}.pem"
    if isinstance(content, bytes):
        path.write_bytes(content)
    wrong = str(files.folder if content == "folder" else path)
    names: dict[str, Any] = {"cert": files.cert, "key": files.key, "ca": files.ca, which: wrong}
    with pytest.raises(ConfigError, match=f"^{wrong}: {text}$"):
        server_context(TLSFiles(**names))
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("which", ["cert", "key", "ca"])
def test_damaged_file(files: Files, which: str) -> None:
    """The label is right, the rest is not."""
    label = "PRIVATE KEY" if which == "key" else "CERTIFICATE"
    damaged = f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n".encode()
    wrong = files.write(f"damaged-{which}.pem", damaged)
    names: dict[str, Any] = {"cert": files.cert, "key": files.key, "ca": files.ca, which: wrong}
    with pytest.raises(ConfigError, match=rf"damaged-{which}.pem.*: damaged; allowed is PEM$"):
        server_context(TLSFiles(**names))


def test_damaged_file_with_both(files: Files) -> None:
    """Is named once."""
    key = Path(files.key).read_bytes()
    damaged = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    wrong = files.write("damaged-both.pem", key + damaged)
    with pytest.raises(ConfigError, match=f"^{wrong}: damaged"):
        server_context(TLSFiles(cert=wrong))


def test_key_of_another_certificate(files: Files) -> None:
    """Both files are named."""
    other = files.write("other.pem", trustme.CA().issue_cert("x").private_key_pem.bytes())
    with pytest.raises(
        ConfigError, match=f"^{other}: this is not the private key of {files.cert}$"
    ):
        server_context(TLSFiles(cert=files.cert, key=other))


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_encrypted_key(files: Files, form: str) -> None:
    """Is refused; nobody is asked for a password, least of all on a terminal."""
    key = serialization.load_pem_private_key(Path(files.key).read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        getattr(serialization.PrivateFormat, form),
        serialization.BestAvailableEncryption(b"secret"),
    )
    file = files.write("encrypted.pem", encrypted)
    with pytest.raises(ConfigError, match=f"^{file}: the private key is encrypted"):
        server_context(TLSFiles(cert=files.cert, key=file))


@pytest.mark.parametrize("name", ["", "x" * 256, "ü"])
def test_wrong_alpn(files: Files, name: str) -> None:
    """The error names it."""
    with pytest.raises(ConfigError, match=f"^ALPN '{name}': allowed are 1 to 255 ASCII characters"):
        files.server(alpn=("mqtt", name))


# Handshakes


@both_versions
async def test_handshake(files: Files, version: ssl.TLSVersion) -> None:
    """Both ends agree, and understand one another."""
    wire, peer = await met(files.server(), files.client(version))

    assert wire.info.version == peer.tls.version() == f"TLSv1.{version - V12 + 2}"
    assert wire.info.cipher == peer.tls.cipher()[0]  # type: ignore[index]  # there is one
    assert wire.info.alpn is None
    assert wire.info.certificate is None
    assert wire.send_nowait(b"hello") == 5
    assert peer.act(peer.tls.read, 100) == b"hello"
    peer.act(peer.tls.write, b"world")
    assert wire.read(100) == b"world"
    assert wire.read(100) is None


@pytest.mark.parametrize(
    ("offered", "expected"), [(["b", "a"], "a"), (["b"], "b"), (["c"], None), ([], None)]
)
async def test_alpn(files: Files, offered: list[str], expected: str | None) -> None:
    """The server's first that the client offers."""
    client = files.client()
    if offered:
        client.set_alpn_protocols(offered)
    wire, peer = await met(files.server(alpn=("a", "b")), client)

    assert wire.info.alpn == peer.tls.selected_alpn_protocol() == expected


@both_versions
async def test_mutual_tls(files: Files, version: ssl.TLSVersion) -> None:
    """The client's certificate is told."""
    wire, _ = await met(files.server(ca=files.ca), files.certified(version))

    assert wire.info.certificate is not None
    assert wire.info.certificate["subjectAltName"] == (("email", "client@example.org"),)


@both_versions
async def test_resumed_session(files: Files, version: ssl.TLSVersion) -> None:
    """Is one, and the client is known from it."""
    server, client = files.server(ca=files.ca), files.certified(version)
    wire, first = await met(server, client)
    wire.send_nowait(b"x")  # and the ticket
    assert first.act(first.tls.read, 1) == b"x"
    wire, again = await met(server, client, first.tls.session)

    assert again.tls.session_reused
    assert wire.info.certificate is not None
    assert wire.info.certificate["subjectAltName"] == (("email", "client@example.org"),)


async def refused(files: Files, client: ssl.SSLContext, **more: Any) -> tuple[str, PeerWire]:
    """The reason, as the server tells it, and the client's end."""
    below = PeerWire(client)

    async def accept() -> None:
        with pytest.raises(HandshakeError) as error:
            await accept_tls(below, files.server(**more))
        texts.append(str(error.value))
        assert isinstance(error.value.__cause__, ssl.SSLError)

    texts: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        await wait_all_tasks_blocked()
        assert below.eofs == 1
        below.end()
    return texts[0], below


async def test_old_version(files: Files) -> None:
    """TLS 1.1 is refused, and the client learns why."""
    client = files.client()
    client.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    text, peer = await refused(files, client)

    assert text == "TLS handshake: unsupported protocol"
    assert "protocol version" in str(peer.failed)


@pytest.mark.parametrize("cipher", ["AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA"])
async def test_weak_cipher(files: Files, cipher: str) -> None:
    """One without forward secrecy, or without authenticated encryption, is refused."""
    client = files.client(V12)
    client.set_ciphers(f"{cipher}:@SECLEVEL=0")
    text, peer = await refused(files, client)

    assert text == "TLS handshake: no shared cipher"
    assert "handshake failure" in str(peer.failed)


@both_versions
async def test_no_certificate(files: Files, version: ssl.TLSVersion) -> None:
    """Is refused when one is asked for. With TLS 1.3 the client learns it by its first read."""
    text, peer = await refused(files, files.client(version), ca=files.ca)

    assert text == "TLS handshake: no certificate was sent"
    if version == V12:
        assert "alert" in str(peer.failed)
    else:
        with pytest.raises(ssl.SSLError, match="alert certificate required"):
            peer.act(peer.tls.read)


@both_versions
async def test_certificate_of_a_stranger(files: Files, version: ssl.TLSVersion) -> None:
    """Is refused, with OpenSSL's reason."""
    client = files.client(version)
    trustme.CA().issue_cert("x").configure_cert(client)
    text, _ = await refused(files, client, ca=files.ca)

    assert text == (
        "TLS handshake: certificate not accepted: unable to get local issuer certificate"
    )


async def test_expired_certificate(files: Files) -> None:
    """Is refused as such."""
    client = files.client()
    expired = files.authority.issue_cert("x", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    expired.configure_cert(client)
    text, _ = await refused(files, client, ca=files.ca)

    assert text == "TLS handshake: certificate not accepted: certificate has expired"


async def test_client_that_does_not_trust_the_server(files: Files) -> None:
    """Its alert is the reason."""
    text, peer = await refused(files, ssl.create_default_context())

    assert isinstance(peer.failed, ssl.SSLCertVerificationError)
    assert text == "TLS handshake: tlsv1 alert unknown ca"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "this is plain HTTP"),
        (b"CONNECT localhost:443 HTTP/1.1\r\n\r\n", "this is plain HTTP"),
        (b"hello world\r\n", "this is not TLS, or of an unknown version"),
        (bytes(20_000), "this is not TLS, or of an unknown version"),
    ],
)
async def test_no_tls(files: Files, raw: bytes, text: str) -> None:
    """A client that speaks something else is told apart."""
    below = ScriptedWire()
    below.arrive(raw)
    below.end()
    with pytest.raises(HandshakeError, match=f"^TLS handshake: {text}$"):
        await accept_tls(below, files.server())


@both_versions
@pytest.mark.parametrize("how", ["end", "lose"])
async def test_break_at_every_byte(files: Files, version: ssl.TLSVersion, how: str) -> None:
    """Inside the handshake, an end or a reset is a loss."""
    server, client = files.server(), files.client(version)

    class Breaking(PeerWire):
        """Breaks when the client has sent so many bytes."""

        def __init__(self, left: int) -> None:
            super().__init__(client)
            self.left = left

        def arrive(self, *pieces: bytes) -> None:
            for piece in pieces:
                if piece[: self.left]:
                    super().arrive(piece[: self.left])
                self.left -= len(piece)
            if self.left <= 0:
                self.end()

        def read(self, size: int) -> bytes | None:
            if not self._arrived and self._ended and how == "lose":
                raise ConnectionLost("reset by the test")
            return super().read(size)

    whole = Breaking(2**30)
    await accept_tls(whole, server)
    total = 2**30 - whole.left
    assert total > 200
    texts = set()
    for count in range(total):
        below = Breaking(count)
        with pytest.raises(ConnectionLost) as lost:
            await accept_tls(below, server)
        texts.add(str(lost.value))

    inside = {"the peer ended its stream inside the TLS handshake"}
    assert texts == (inside if how == "end" else {"reset by the test"})


@both_versions
async def test_cancel_at_every_await(files: Files, version: ssl.TLSVersion) -> None:
    """It ends at once, and the wire is left to be closed."""
    server, client = files.server(ca=files.ca), files.certified(version)

    class Cancelling(PeerWire):
        """Cancels when it is waited for so many times."""

        def __init__(self, left: int, scope: trio.CancelScope) -> None:
            super().__init__(client)
            self.left = left
            self.scope = scope
            self.room = 0

        async def readable(self) -> None:
            self._count()
            await super().readable()

        async def push(self, data: bytes | memoryview) -> int:
            self._count()
            self.room = len(data)
            return await super().push(data)

        def _count(self) -> None:
            self.left -= 1
            if not self.left:
                self.scope.cancel()

    with trio.CancelScope() as scope:
        whole = Cancelling(2**30, scope)
        await accept_tls(whole, server)
    waits = 2**30 - whole.left
    assert waits >= 3
    for count in range(1, waits + 1):
        with trio.CancelScope() as scope:
            below = Cancelling(count, scope)
            await accept_tls(below, server)
        assert scope.cancelled_caught
        assert not below.closed


async def test_client_that_never_reads(files: Files) -> None:
    """The handshake waits for it; whoever called has the deadline."""
    below = PeerWire(files.client())
    below.room = 0
    with trio.move_on_after(0.01) as scope:
        await accept_tls(below, files.server())

    assert scope.cancelled_caught


class Looks(trio.abc.Instrument):
    """Counts how often Trio has looked for what has come."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


class TimedWire(PeerWire):
    """Remembers after which look each of the server's messages left."""

    def __init__(self, context: ssl.SSLContext, looks: Looks) -> None:
        super().__init__(context)
        self.looks = looks
        self.answered: list[int] = []

    def send_nowait(self, data: Data) -> int:
        self.answered.append(self.looks.count)
        return super().send_nowait(data)


async def test_many_handshakes_at_once(files: Files) -> None:
    """Of thirty, two are answered in one go; in between Trio looks for what else has come."""
    looks, turns, server, client = Looks(), Turns(), files.server(), files.client()
    wires = [TimedWire(client, looks) for _ in range(30)]
    trio.lowlevel.add_instrument(looks)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for wire in wires:
                nursery.start_soon(accept_tls, wire, server, turns)
    trio.lowlevel.remove_instrument(looks)
    at_once = Counter(wire.answered[0] for wire in wires)

    assert max(at_once.values()) == 2
    assert sum(at_once.values()) == 30


class SlowWire(PeerWire):
    """Its client's last message is held back."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context)
        self.go = trio.Event()

    async def readable(self) -> None:
        if self.sent:
            await self.go.wait()
        await super().readable()


async def test_a_handshake_that_is_under_way_goes_first(files: Files) -> None:
    """Who has got an answer doesn't wait for those who have none yet."""
    turns, server, client = Turns(), files.server(), files.client()
    early, late = SlowWire(client), [PeerWire(client) for _ in range(30)]
    answered = 0

    async def shake(wire: PeerWire) -> None:
        nonlocal answered
        await accept_tls(wire, server, turns)
        if wire is early:
            answered = sum(1 for each in late if each.sent)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shake, early)
            while not early.sent:
                await trio.lowlevel.checkpoint()
            for wire in late:
                nursery.start_soon(shake, wire)
            while not any(wire.sent for wire in late):
                await trio.lowlevel.checkpoint()
            early.go.set()

    assert 0 < answered < len(late) // 2  # in turn it would be all of them


# Bytes


@both_versions
@given(
    ours=st.lists(st.integers(1, 40_000), max_size=5),
    theirs=st.lists(st.integers(1, 40_000), max_size=5),
    takes=st.lists(st.integers(0, 20_000)),
    cuts=st.lists(st.integers(1, 20_000)),
    size=st.integers(100, 20_000),
)
@settings(deadline=None)
async def test_whatever_pieces(
    files: Files,
    version: ssl.TLSVersion,
    ours: list[int],
    theirs: list[int],
    takes: list[int],
    cuts: list[int],
    size: int,
) -> None:
    """Bytes arrive intact both ways, and no read gives more than was asked for."""
    wire, peer = await met(files.server(), files.client(version))
    peer._takes = iter(takes)
    sent, received = bytearray(), bytearray()
    for number, count in enumerate(ours):
        data = bytes([number]) * count
        told = wire.send_nowait(data)
        while told < count:
            told += await wire.push(memoryview(data)[told:])
        assert told == count
        sent += data
        with suppress(ssl.SSLWantReadError):
            while True:
                received += peer.act(peer.tls.read, 100_000)
    assert received == sent

    sent, received = bytearray(), bytearray()
    for number, count in enumerate(theirs):
        peer.act(peer.tls.write, bytes([number]) * count)
        sent += bytes([number]) * count
    raw = b"".join(peer._arrived)
    peer._arrived.clear()
    for cut in cuts:
        peer.arrive(raw[:cut])
        raw = raw[cut:]
    peer.arrive(raw)
    while len(received) < len(sent):
        with trio.fail_after(5):
            await wire.readable()
        data = wire.read(size) or b""
        assert len(data) <= size
        received += data
    assert received == sent


async def test_data_with_the_last_handshake_message(files: Files) -> None:
    """Is read at once, though nothing more comes from the wire below."""

    class Hasty(PeerWire):
        def arrive(self, *pieces: bytes) -> None:
            if self.tls.version() is not None and not self.said:
                self.said = True
                self.tls.write(b"hello")
                pieces = (*pieces, self.outgoing.read())
            super().arrive(b"".join(pieces))

        said = False

    below = Hasty(files.client(V13))
    wire = await accept_tls(below, files.server())
    assert below.unread() == 0
    with trio.fail_after(5):
        await wire.readable()

    assert wire.read(3) == b"hel"
    assert wire.unread() == 2
    assert wire.read(100) == b"lo"
    assert wire.read(100) is None


async def test_many_records_in_one_read(files: Files) -> None:
    """Come as one."""
    wire, peer = await met(files.server(), files.client())
    for number in range(20):
        peer.act(peer.tls.write, b"%d," % number)
    raw = b"".join(peer._arrived)
    peer._arrived.clear()
    peer.arrive(raw)

    assert wire.read(100_000) == b"".join(b"%d," % number for number in range(20))


@both_versions
async def test_end_of_the_peer(files: Files, version: ssl.TLSVersion) -> None:
    """It comes after what was received; this side can still send, and then end as well."""
    wire, peer = await met(files.server(), files.client(version))
    peer.act(peer.tls.write, b"bye")
    with pytest.raises(ssl.SSLWantReadError):
        peer.act(peer.tls.unwrap)

    assert read_all(wire) == b"bye"
    with trio.fail_after(5):
        await wire.readable()
    assert wire.read(100) == b""
    assert wire.read(100) == b""
    assert wire.send_nowait(b"you too") == 7
    assert peer.act(peer.tls.read, 100) == b"you too"
    await wire.send_eof()
    peer.act(peer.tls.unwrap)
    assert peer.eofs == 1


@both_versions
async def test_end_of_this_side(files: Files, version: ssl.TLSVersion) -> None:
    """The peer learns it; what it still sends is read, up to its end."""
    wire, peer = await met(files.server(), files.client(version))
    peer.act(peer.tls.write, b"before")
    await wire.send_eof()
    assert peer.eofs == 1
    assert peer.act(peer.tls.read, 100) == b""
    peer.act(peer.tls.write, b", after")

    assert read_all(wire) == b"before, after"
    peer.act(peer.tls.unwrap)
    assert wire.read(100) == b""


@both_versions
async def test_ragged_end(files: Files, version: ssl.TLSVersion) -> None:
    """A peer that just closes has ended."""
    wire, peer = await met(files.server(), files.client(version))
    peer.act(peer.tls.write, b"bye")
    peer.end()

    assert read_all(wire) == b"bye"
    assert wire.read(100) == b""


async def test_sending_after_the_end(files: Files) -> None:
    """Is a loss; ending again is nothing."""
    wire, peer = await met(files.server(), files.client())
    await wire.send_eof()
    said = bytes(peer.sent)
    await wire.send_eof()

    assert peer.sent == said
    with pytest.raises(ConnectionLost, match=r"^TLS: protocol is shutdown$"):
        wire.send_nowait(b"x")


@both_versions
async def test_damaged_record(files: Files, version: ssl.TLSVersion) -> None:
    """Is a loss, after what came before it; the peer is told, and nothing can be sent any more."""
    wire, peer = await met(files.server(), files.client(version))
    peer.act(peer.tls.write, b"whole")
    peer.act(peer.tls.write, b"damaged")
    whole, damaged = peer._arrived
    peer._arrived.clear()
    peer.arrive(whole + damaged[:-1] + bytes([damaged[-1] ^ 1]))

    assert wire.read(100) == b"whole"
    with trio.fail_after(5):
        await wire.readable()
    with pytest.raises(ConnectionLost, match=r"^TLS: decryption failed or bad record mac$"):
        wire.read(100)
    with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
        peer.act(peer.tls.read)
    with pytest.raises(ConnectionLost, match=r"^TLS: "):
        wire.send_nowait(b"x")
    with pytest.raises(ConnectionLost, match=r"^TLS: "):
        await wire.send_eof()


# Over sockets


@pytest.fixture
def sockets() -> Iterator[tuple[SocketWire, socket.socket]]:
    """A wire over TCP and its peer, which blocks."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, name = listening.accept()
    with ours, theirs:
        theirs.settimeout(20)
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        yield SocketWire(ours, name, Address("tcp")), theirs


@asynccontextmanager
async def in_thread(call: Callable[[], object]) -> AsyncIterator[None]:
    """Run it in a thread beside the block, for the peer."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, call)
            yield


async def read_up_to(wire: Wire, count: int) -> bytes:
    """So many bytes, or all up to the end."""
    received = bytearray()
    while len(received) < count:
        await wire.readable()
        data = wire.read(16_384)
        if data == b"":
            break
        received += data or b""
    return bytes(received)


@both_versions
async def test_socket(
    files: Files, version: ssl.TLSVersion, sockets: tuple[SocketWire, socket.socket]
) -> None:
    """An ordinary client, who just closes in the end."""
    below, theirs = sockets
    heard: list[bytes] = []

    def client() -> None:
        with files.client(version).wrap_socket(theirs, server_hostname="localhost") as peer:
            peer.sendall(MUCH)
            while len(b"".join(heard)) < len(MUCH):
                heard.append(peer.recv(100_000))

    async with in_thread(client):
        wire = await accept_tls(below, files.server())
        received = await read_up_to(wire, len(MUCH))
        sent = wire.send_nowait(received)
        while sent < len(received):
            sent += await wire.push(memoryview(received)[sent:])
        assert await read_up_to(wire, 1) == b""

    assert received == MUCH
    assert b"".join(heard) == MUCH
    assert wire.peer == below.peer


async def test_reset_of_a_socket(files: Files, sockets: tuple[SocketWire, socket.socket]) -> None:
    """Is a loss, for reading and for sending."""
    below, theirs = sockets
    reset = threading.Event()

    def client() -> None:
        peer = files.client().wrap_socket(theirs, server_hostname="localhost")
        reset.wait(20)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()

    async with in_thread(client):
        wire = await accept_tls(below, files.server())
        reset.set()
        with pytest.raises(ConnectionLost, match="reset"):
            await read_up_to(wire, 1)
        with pytest.raises(ConnectionLost, match="pipe"):
            wire.send_nowait(b"x")


async def test_refused_client_gets_the_alert(
    files: Files, sockets: tuple[SocketWire, socket.socket]
) -> None:
    """And no reset, though it had sent more by then than anybody reads."""
    below, theirs = sockets
    told: list[ssl.SSLError] = []

    def client() -> None:
        with files.client(V13).wrap_socket(theirs, server_hostname="localhost") as peer:
            peer.sendall(bytes(100_000))
            with pytest.raises(ssl.SSLError) as error:
                peer.recv(1)
            told.append(error.value)

    async with in_thread(client):
        with pytest.raises(HandshakeError, match="no certificate was sent"):
            await accept_tls(below, files.server(ca=files.ca))
        await below.close()

    assert "ALERT" in str(told[0].reason)


@both_versions
async def test_threads_write_while_the_task_reads(
    files: Files,
    version: ssl.TLSVersion,
    sockets: tuple[SocketWire, socket.socket],
    nursery: trio.Nursery,
) -> None:
    """To a peer that reads slowly and writes all the time: all comes, in the order of each."""
    below, theirs = sockets
    each, writers = 2000, 3
    heard = bytearray()

    def client() -> None:
        peer = files.client(version).wrap_socket(theirs, server_hostname="localhost")
        peer.setblocking(False)
        waiting = memoryview(MUCH)
        while not heard.endswith(b"end"):
            time.sleep(0.0005)  # let the others run
            with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                waiting = waiting[peer.send(waiting[:5000]) :] if waiting else waiting
            with suppress(ssl.SSLWantReadError):
                heard.extend(peer.recv(5000))
        peer.setblocking(True)
        peer.sendall(waiting)
        peer.unwrap()
        peer.close()

    def write(who: int) -> None:
        for number in range(each):
            connection.replies.append(b"%d:%d%s," % (who, number, b" " * 100))
            connection.flush()

    async def read() -> None:
        received.append(await read_up_to(wire, 2**30))

    received: list[bytes] = []
    async with in_thread(client):
        wire = await accept_tls(below, files.server())
        owner = WriterOwner(nursery)
        limits = Limits(unsent_high=10**8, unsent_bytes=10**8)
        connection = owner.connection = WireConnection(1, wire, owner, Border(), limits)
        async with trio.open_nursery() as inner:
            inner.start_soon(read)
            async with trio.open_nursery() as threads:
                for who in range(writers):
                    threads.start_soon(trio.to_thread.run_sync, write, who)
            connection.write(b"end")
            while not connection.idle:  # noqa: ASYNC110  # threads ring no bell here
                await trio.sleep(0.001)
            await connection.send_eof()

    assert received == [MUCH]
    lines = [line.split() for line in bytes(heard).split(b",")[:-1]]
    for who in range(writers):
        numbers = [int(line[0][2:]) for line in lines if line[0].startswith(b"%d:" % who)]
        assert numbers == list(range(each))


async def test_over_a_stream(files: Files) -> None:
    """Any Trio stream will do; here its peer is Trio's own TLS."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    peer = trio.SSLStream(theirs, files.client(), server_hostname="localhost")

    async def client() -> None:
        await peer.send_all(b"hello")
        assert await peer.receive_some() == b"world"
        assert await peer.receive_some() == b""
        await peer.aclose()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client)
            wire = await accept_tls(StreamWire(ours, 16_384), files.server())
            assert await read_up_to(wire, 5) == b"hello"
            assert wire.send_nowait(b"world") == 0
            assert await wire.push(b"world") == 5
            await wire.send_eof()
            assert await read_up_to(wire, 1) == b""
            await wire.close()


async def test_client_that_only_sends(
    files: Files, sockets: tuple[SocketWire, socket.socket]
) -> None:
    """And closes without having read anything: all that it sent is received."""
    below, theirs = sockets

    def client() -> None:
        with files.client(V13).wrap_socket(theirs, server_hostname="localhost") as peer:
            peer.sendall(MUCH)

    async with in_thread(client):
        wire = await accept_tls(below, files.server())
        assert await read_up_to(wire, 2**30) == MUCH


async def test_tickets_leave_with_the_first_data(files: Files) -> None:
    """Not before, though the client sends; the farewell brings them as well."""
    for call in (lambda wire: trio.to_thread.run_sync(wire.send_nowait, b"x"), TLSWire.send_eof):
        wire, peer = await met(files.server(), files.client(V13))
        said = len(peer.sent)
        peer.act(peer.tls.write, b"hello")
        assert wire.read(100) == b"hello"
        assert len(peer.sent) == said
        assert peer.tls.session is not None
        assert not peer.tls.session.has_ticket
        await call(wire)
        assert len(peer.act(peer.tls.read, 100)) < 2
        assert peer.tls.session.has_ticket
