"""TLS as OpenSSL's own client sees it: versions, ciphers, names, certificates, ends, stalls."""

from __future__ import annotations

import select
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.judges.authority import Authority
from tests.judges.command import TELL, TELL_MUCH, Command
from tests.judges.conftest import Connect, Ends
from tests.judges.openssl import ESTABLISHED, Client
from tests.judges.program import PATIENCE, Program
from tests.outside import need

need("openssl")

both_versions = pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[Command]:
    """An echo with an RSA certificate, so that the key exchange without a future has a key."""
    cert = authority.server("plain", trustme.KeyType.RSA)
    with Command("echo", f"tls://localhost:0?cert={cert}&alpn=speedo/2,speedo/1") as server:
        yield server


@pytest.fixture(scope="module")
def mutual(authority: Authority) -> Iterator[Command]:
    """Lets in who has a certificate of the authority, and tells what it knows of them."""
    cert = authority.server("mutual")
    with Command(TELL, f"tls://localhost:0?cert={cert}&ca={authority.file}") as server:
        yield server


@both_versions
def test_current_versions_are_served(server: Command, connect: Connect, version: str) -> None:
    """The chain leads by an intermediate to the root, and lines come back."""
    client = connect(server, "-brief", version)
    client.wait_for(rf"Protocol version: TLSv{version[4:].replace('_', '.')}\n")
    client.wait_for("Verification: OK\nVerified peername: localhost\n")
    client.echoes()

    assert client.end() == 0


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(server: Command, connect: Connect, version: str) -> None:
    """A client that can nothing newer is told so by the right alert (RFC 8996)."""
    client = connect(server, "-brief", version, "-cipher", "DEFAULT@SECLEVEL=0")

    client.refused_with("protocol_version")


def test_ciphers_are_forward_secret_and_authenticated(server: Command, connect: Connect) -> None:
    """With all that the client knows on offer, TLS 1.2 agrees on these and on no other."""
    offer, accepted = "ALL:COMPLEMENTOFALL", []
    while "ECDHE" in (chosen := agreed(connect(server, "-tls1_2", "-cipher", offer + WEAK))):
        offer += f":!{chosen}"
        accepted.append(chosen)

    assert chosen == "alert 40"
    assert accepted == [
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-CHACHA20-POLY1305",
    ]


WEAK = ":@SECLEVEL=0"
"""Has OpenSSL offer even what it takes for broken."""


def agreed(client: Client) -> str:
    """The cipher that was agreed on, or the alert that told that there is none."""
    found = client.wait_for(r"New, TLSv1.2, Cipher is (\S+)|SSL (alert) number (\d+)")
    return found[1] or f"{found[2]} {found[3]}"


@pytest.mark.parametrize(
    "cipher",
    ["AES128-GCM-SHA256", "AES256-SHA", "ECDHE-RSA-AES128-SHA", "ADH-AES128-GCM-SHA256", "NULL"],
)
def test_weak_ciphers_are_refused(server: Command, connect: Connect, cipher: str) -> None:
    """RSA key exchange, CBC, no authentication, no encryption: each alone is refused."""
    client = connect(server, "-brief", "-tls1_2", "-cipher", f"{cipher}{WEAK}")

    client.refused_with("handshake_failure")


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        ("speedo/1,speedo/2", "ALPN protocol: speedo/2"),
        ("other,speedo/1", "ALPN protocol: speedo/1"),
        ("other", "No ALPN negotiated"),
    ],
)
@both_versions
def test_alpn(server: Command, connect: Connect, version: str, offered: str, agreed: str) -> None:
    """The server's preference counts; who offers nothing known is served without a name."""
    client = connect(server, version, "-alpn", offered)
    client.wait_for(f"{agreed}\n")

    client.echoes()


LINES = "".join(f"{number:099}\n" for number in range(20_000))
"""Two megabytes, more than all buffers in between hold."""


@pytest.mark.parametrize(
    "options",
    [
        ("-tls1_2",),
        ("-tls1_3",),
        ("-tls1_3", "-split_send_frag", "512", "-max_send_frag", "512"),
        ("-tls1_2", "-maxfraglen", "512"),
    ],
    ids=["1.2", "1.3", "the client's records are small", "ours shall be small"],
)
def test_much_comes_back(server: Command, connect: Connect, options: tuple[str, ...]) -> None:
    """What is sent at once comes back byte for byte, whatever the records."""
    client = connect(server, "-quiet", *options)
    client.tell(LINES)
    client.wait_for(LINES[-100:])

    assert LINES in client.text


def test_a_client_that_does_not_read(ends: Ends, authority: Authority, connect: Connect) -> None:
    """It stops nobody else; when it reads again it gets all that it asked for, even in a drain."""
    server = ends(Command(TELL_MUCH, f"tls://localhost:0?cert={authority.server('patient')}"))
    client = connect(server, "-quiet", deaf=True, stderr=subprocess.DEVNULL)
    client.tell("20000000\n")  # more than the kernel holds
    assert client.popen.stdout is not None
    assert select.select([client.popen.stdout], [], [], PATIENCE)[0]
    for _ in range(3):
        connect(server, "-brief").echoes()
    server.send(signal.SIGTERM)
    server.wait_for("draining ")
    client.hear()

    assert server.end() == 0
    assert client.end() == 0
    assert client.text.count("z") == 20_000_000


def test_a_client_that_leaves_at_once(ends: Ends, authority: Authority, connect: Connect) -> None:
    """Who says its lines and goes, without waiting for the answers, is not worth a line."""
    server = ends(Command("echo", f"tls://localhost:0?cert={authority.server('left')}"))
    for _ in range(5):
        client = connect(server, "-quiet", "-no_ign_eof")
        client.tell(LINES[:100_000])
        assert client.end() == 0

    assert server.drain() == 0
    assert server.log == []


def test_what_is_no_tls(ends: Ends, authority: Authority) -> None:
    """It is refused and logged, with words that help whoever took the wrong port."""
    need("curl", "nc.openbsd")
    bind = f"tls://localhost:0?cert={authority.server('wrong')}"
    server = ends(Command("echo", bind, "--log-level", "debug"))
    curl = ends(Program("curl", "--silent", "--noproxy", "*", f"http://localhost:{server.port}/"))
    server.wait_for("the handshake failed: HandshakeError: TLS handshake: this is plain HTTP\n")
    nc = ends(Program("nc.openbsd", "127.0.0.1", str(server.port)))
    nc.tell("hello\n")
    server.wait_for("TLS handshake: this is not TLS, or of an unknown version\n")

    assert nc.end() == 0
    assert curl.end() != 0


@both_versions
def test_the_end_is_told(ends: Ends, authority: Authority, connect: Connect, version: str) -> None:
    """A server that drains says close_notify: OpenSSL would complain of a stream cut short."""
    bind = f"tls://localhost:0?cert={authority.server('draining')}"
    server = ends(Command("echo", bind))
    client = connect(server, version)
    client.echoes()

    assert server.drain() == 0
    assert client.end() == 0
    assert "closed\n" in client.text
    assert "error" not in client.text


def test_keys_are_updated(server: Command, connect: Connect) -> None:
    """A client of TLS 1.3 may change its keys and ask for the server's, too (RFC 8446, 4.6.3)."""
    client = connect(server, "-tls1_3")
    for times in (1, 2, 3):
        client.tell("K\n")  # alone: what follows in the same read is thrown away
        client.wait_for("KEYUPDATE\n", times)
        client.echoes()


def test_renegotiation_is_refused(server: Command, connect: Connect) -> None:
    """Under TLS 1.2 a client could otherwise have the server calculate as often as it likes."""
    client = connect(server, "-tls1_2")
    client.echoes()
    client.tell("R\n")

    client.wait_for("no renegotiation")
    assert client.end() != 0


def test_no_early_data_is_taken(server: Command, connect: Connect) -> None:
    """It could be replayed by anybody (RFC 8446, 8), and the protocol would not know."""
    client = connect(server, "-tls1_3")
    client.echoes()
    client.end()  # only then it shows all

    assert client.wait_for(r"Max Early Data: (\d+)\n")[1] == "0"


@both_versions
def test_a_client_is_known_by_its_certificate(
    mutual: Command, authority: Authority, connect: Connect, version: str
) -> None:
    """Under mutual TLS the protocol sees whom the authority has signed."""
    client = connect(mutual, "-brief", version, "-cert", authority.client("Ada"))
    tls = client.asks()["tls"]

    assert [["commonName", "Ada"]] in tls["certificate"]["subject"]
    assert tls["version"] == f"TLSv{version[4:].replace('_', '.')}"
    assert client.wait_for(r"Ciphersuite: (\S+)")[1] == tls["cipher"]


def test_a_client_of_before_is_known(
    mutual: Command, authority: Authority, connect: Connect, tmp_path: Path
) -> None:
    """Who resumes a session is still known by the certificate of then."""
    session, cert = str(tmp_path / "session"), authority.client("Grace")
    first = connect(mutual, "-tls1_3", "-cert", cert, "-sess_out", session)
    first.asks()
    assert first.end() == 0
    second = connect(mutual, "-tls1_3", "-sess_in", session)

    assert [["commonName", "Grace"]] in second.asks()["tls"]["certificate"]["subject"]
    second.end()
    assert "Reused, TLSv1.3" in second.text


@pytest.mark.parametrize(
    ("version", "alert"),
    [("-tls1_2", "handshake_failure"), ("-tls1_3", "certificate_required")],
)
def test_a_client_without_a_certificate_is_refused(
    mutual: Command, connect: Connect, version: str, alert: str
) -> None:
    """It is told why, as far as its version has words for it."""
    connect(mutual, "-brief", version).refused_with(alert)


@both_versions
def test_a_certificate_of_strangers_is_refused(
    mutual: Command, connect: Connect, stranger: Authority, version: str
) -> None:
    """Who signed it is nobody we know."""
    client = connect(mutual, "-brief", version, "-cert", stranger.client("Mallory"))

    client.refused_with("unknown_ca")


@both_versions
def test_an_expired_certificate_is_refused(
    mutual: Command, connect: Connect, authority: Authority, version: str
) -> None:
    """Though the right authority has signed it."""
    client = connect(mutual, "-brief", version, "-cert", authority.expired())

    client.refused_with("certificate_expired")


def stalled(port: int) -> list[socket.socket]:
    """Clients that begin a handshake, each a little further than the last, and say no more."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(
        ssl.MemoryBIO(), outgoing, server_hostname="localhost"
    )
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    stalled = []
    for number in range(40):
        stalled.append(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
        stalled[-1].sendall(hello[: number * len(hello) // 40])
    return stalled


def test_stalled_handshakes_delay_nobody(
    ends: Ends, authority: Authority, connect: Connect
) -> None:
    """While forty clients are silent in theirs, another is served and none of them has ended."""
    bind = f"tls://localhost:0?cert={authority.server('patient')}"
    server = ends(Command("echo", bind, "--timeouts.handshake", "600"))
    silent = stalled(server.port)
    connect(server, "-brief").echoes()

    assert select.select(silent, [], [], 0)[0] == []
    for each in silent:
        each.close()


def test_a_stalled_handshake_ends_in_time(
    ends: Ends, authority: Authority, connect: Connect
) -> None:
    """After ``timeouts.handshake`` each is closed, which is logged; who is in stays."""
    bind = f"tls://localhost:0?cert={authority.server('strict')}"
    server = ends(Command("echo", bind, "--timeouts.handshake", "0.5"))
    client = connect(server, "-brief")
    client.wait_for(ESTABLISHED)
    client.echoes("before")
    for each in stalled(server.port):
        with each:
            assert each.recv(1) == b""
    client.echoes("after")

    assert server.drain() == 0
    assert "the handshake failed: HandshakeError: it was not over after 0.5 s" in server.log[0]
