"""What only HAProxy can judge: fields of version 2, families, TLS to the server, health checks."""

from __future__ import annotations

import ssl
import uuid
from pathlib import Path

import pytest
import trio

from speedo_trio import Cause, ConnectionEnded, ConnectionFailed, Event
from tests.judges.authority import Authority
from tests.judges.conftest import Ends
from tests.judges.fronts import HAProxy
from tests.judges.told import ask, back, client, logged, telling
from tests.outside import need
from tests.promises.scene import until

need("haproxy")

ALPN, AUTHORITY, CRC32C, UNIQUE_ID, SSL = 0x01, 0x02, 0x03, 0x05, 0x20
"""Types of fields (proxy-protocol.txt, 2.2)."""

SSL_VERSION, SSL_COMMON_NAME = 0x21, 0x22
"""Types inside of SSL's (2.2.6)."""


async def test_fields(ends: Ends, authority: Authority, tmp_path: Path) -> None:
    """What TLS agreed on at the proxy arrives; so does the unique id, and the checksum is right."""
    options = "ssl,cert-cn,crc32c,unique-id,authority"
    bind = f"ssl crt {authority.server('front')} ca-file {authority.file} verify required alpn tell"
    async with telling() as stage:
        server = f"send-proxy-v2 proxy-v2-options {options}"
        front = ends(HAProxy(tmp_path, back(stage), server, bind))
        peer = await client(stage, front.port)
        context = ssl.create_default_context(cafile=authority.file)
        context.load_cert_chain(authority.client("Ada"))
        context.set_alpn_protocols(["tell"])
        secured = trio.SSLStream(peer.stream, context, server_hostname="localhost")
        await secured.send_all(b"?\n")
        await secured.receive_some()
        (connection,) = stage.server.connections

        assert connection.peer == peer.name
        assert connection.proxy is not None
        fields = dict(connection.proxy.tlvs)
        assert fields[AUTHORITY] == b"localhost"
        assert fields[ALPN] == b"tell"
        assert uuid.UUID(fields[UNIQUE_ID].decode()).version == 4
        assert len(fields[CRC32C]) == 4
        inside = fields[SSL][5:]
        assert bytes((SSL_VERSION, 0, 7)) + b"TLSv1.3" in inside
        assert bytes((SSL_COMMON_NAME, 0, 3)) + b"Ada" in inside


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
async def test_ipv6_clients(ends: Ends, tmp_path: Path, option: str) -> None:
    """A client of IPv6 is one, though the proxy connects over IPv4."""
    async with telling() as stage:
        front = ends(HAProxy(tmp_path, back(stage), option, host="::1"))
        peer = await client(stage, front.port, "::1")
        known = await ask(peer)

        assert known["peer"] == str(peer.name)
        assert known["local"] == f"tcp://[::1]:{front.port}"
        assert known["proxy"]["proxy"]["host"] == "127.0.0.1"


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
async def test_over_a_unix_socket(ends: Ends, tmp_path: Path, option: str) -> None:
    """Behind a Unix socket, clients still have their addresses."""
    async with telling(f"unix+proxy:{tmp_path}/back") as stage:
        front = ends(HAProxy(tmp_path, back(stage), option))
        peer = await client(stage, front.port)

        assert (await ask(peer))["peer"] == str(peer.name)


async def test_tls_from_the_proxy(ends: Ends, authority: Authority, tmp_path: Path) -> None:
    """A proxy that speaks TLS to the server is known by its certificate, and tells the client."""
    cert = authority.server("secret")
    bind = f"tls+proxy://127.0.0.1:0?cert={cert}&ca={authority.file}"
    secured = f"ssl ca-file {authority.file} verify required verifyhost localhost"
    async with telling(bind) as stage:
        server = f"send-proxy-v2 {secured} crt {authority.client('proxy')}"
        front = ends(HAProxy(tmp_path, back(stage), server))
        peer = await client(stage, front.port)
        known = await ask(peer)

        assert known["peer"] == str(peer.name)
        assert [["commonName", "proxy"]] in known["tls"]["certificate"]["subject"]


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
async def test_health_checks(
    ends: Ends, tmp_path: Path, caplog: pytest.LogCaptureFixture, option: str
) -> None:
    """They succeed, and though they send a header and just leave, nobody is told of an error."""
    async with telling() as stage:
        await checked(ends(HAProxy(tmp_path, back(stage), f"{option} check inter 20ms")))
        ended = await several_ended(stage.record.events)

    assert {event.reason.cause for event in ended} <= {Cause.EOF, Cause.LOST}
    assert logged(caplog) == []


async def test_health_checks_in_tls(
    ends: Ends, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A check that shakes hands and leaves is no error either."""
    cert = authority.server("checked")
    secured = f"ssl ca-file {authority.file} verify required"
    async with telling(f"tls+proxy://127.0.0.1:0?cert={cert}") as stage:
        server = f"send-proxy-v2 {secured} check inter 20ms"
        await checked(ends(HAProxy(tmp_path, back(stage), server)))
        ended = await several_ended(stage.record.events)

    assert {event.reason.cause for event in ended} <= {Cause.EOF, Cause.LOST}
    assert logged(caplog) == []


async def checked(front: HAProxy) -> None:
    """Wait until the proxy says that the server lives."""
    await trio.to_thread.run_sync(front.wait_for, r"Health check for server \S+ succeeded")


async def several_ended(events: list[Event]) -> list[ConnectionEnded]:
    """Wait for a few checks more, of which none may be a failure; the ends of all."""

    def ended() -> list[ConnectionEnded]:
        return [event for event in events if isinstance(event, ConnectionEnded)]

    await until(lambda: len(ended()) >= 5)
    assert not [event for event in events if isinstance(event, ConnectionFailed)]
    return ended()
