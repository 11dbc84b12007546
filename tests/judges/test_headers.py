"""Headers that are forged, missing or broken: who sent them is refused, and nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from speedo_trio import Cause, ConnectionFailed, Timeouts
from tests.judges.conftest import Ends
from tests.judges.fronts import HAProxy
from tests.judges.told import ask, back, client, logged, telling
from tests.outside import need
from tests.promises.scene import Stage

FORGED = b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\n"


def only_failure(stage: Stage) -> ConnectionFailed:
    """The one report of an error that there is."""
    (failure,) = [each for each in stage.record.events if isinstance(each, ConnectionFailed)]
    return failure


async def test_a_forged_header_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Who is no trusted proxy may not say who it is: told once, with the address it really has."""
    async with telling("tcp+proxy://127.0.0.1:0?trust=127.0.0.5") as stage:
        port = stage.server.addresses[0].port
        trusted = await client(stage, port, "127.0.0.5")
        await trusted.send(FORGED)
        assert (await ask(trusted))["peer"] == "tcp://192.0.2.1:1000"
        forger = await client(stage, port, "127.0.0.6")
        await forger.send(FORGED)

        assert await forger.ended()
        failure = only_failure(stage)
        assert (failure.peer, failure.reason.cause) == (forger.name, Cause.HANDSHAKE)
        await ask(trusted)
    (line,) = logged(caplog)
    assert line == (
        f"connection 2 from tcp://127.0.0.6:{failure.peer.port}: the handshake failed: "
        f"HandshakeError: {failure.peer} is not trusted to be a proxy; trusted are 127.0.0.5"
    )


async def test_a_real_proxy_that_nobody_trusts(ends: Ends, tmp_path: Path) -> None:
    """HAProxy's header is not believed either when it comes from elsewhere."""
    need("haproxy")
    async with telling("tcp+proxy://127.0.0.1:0?trust=192.0.2.0/24") as stage:
        front = ends(HAProxy(tmp_path, back(stage), "send-proxy-v2"))
        peer = await client(stage, front.port)
        await peer.send(b"hello\n")

        assert await peer.ended()
        assert only_failure(stage).peer.host == "127.0.0.1"
        assert stage.server.connections == ()


async def test_a_proxy_that_sends_no_header(
    ends: Ends, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy without its option: what it passes on is refused and not taken for the proxy's."""
    need("haproxy")
    async with telling() as stage:
        front = ends(HAProxy(tmp_path, back(stage), ""))
        peer = await client(stage, front.port)
        await peer.send(b"hello\n")

        assert await peer.ended()
        only_failure(stage)
    (line,) = logged(caplog)
    assert "b'hello\\n' begins no PROXY header; allowed are" in line


async def test_a_client_without_a_header(caplog: pytest.LogCaptureFixture) -> None:
    """Silence is ended by ``timeouts.handshake``; who just leaves is not worth a line."""
    timeouts = Timeouts(handshake=0.2, linger=0.3)
    async with telling(timeouts=timeouts) as stage:
        port = stage.server.addresses[0].port
        (await client(stage, port)).close()
        silent = await client(stage, port)

        assert await silent.ended()
        failure = only_failure(stage)
        assert failure.peer == silent.name
    (line,) = logged(caplog)
    assert line.endswith("HandshakeError: it was not over after 0.2 s")


async def test_a_header_where_none_is_expected() -> None:
    """On a bind without ``+proxy`` it is nothing but the client's first line."""
    async with telling("tcp://127.0.0.1:0") as stage:
        peer = await client(stage, stage.server.addresses[0].port)
        await peer.send(FORGED)

        known = await ask(peer)
        assert (known["peer"], known["proxy"]) == (str(peer.name), None)
