"""MQTT over each transport, and what it asks of WebSocket (section 6)."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import trio
import trustme
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    RejectConnection,
    Request,
    TextMessage,
)

from speedo_trio.mqtt.service import MQTT
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import ConnAck, Connect, PingReq, PingResp, Publish
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.server import serve
from tests.mqtt.peers import PATIENCE, Peer, connect_packet

V5 = Version.MQTT_5_0


class Framed:
    """A client's end of a WebSocket, as much of a stream as a `Peer` needs."""

    def __init__(self, below: trio.abc.Stream) -> None:
        self._below = below
        self._frames = WSConnection(ConnectionType.CLIENT)
        self._events: deque[Event] = deque()

    async def open(self, *subprotocols: str) -> Event:
        """Ask for the upgrade; what the server says to that."""
        await self.send(Request(host="localhost", target="/", subprotocols=[*subprotocols]))
        return await self.event()

    async def send(self, event: Event) -> None:
        await self._below.send_all(self._frames.send(event))

    async def event(self) -> Event:
        """What the server sent next."""
        with trio.fail_after(PATIENCE):
            while not self._events:
                data = await self._below.receive_some()
                self._frames.receive_data(bytes(data) or None)
                self._events.extend(self._frames.events())
        return self._events.popleft()

    async def send_all(self, data: bytes) -> None:
        await self.send(BytesMessage(data))

    async def receive_some(self) -> bytes:
        event = await self.event()
        assert isinstance(event, BytesMessage), event
        return bytes(event.data)


class Certificates(NamedTuple):
    """Of the server, in files, and whom the client believes."""

    cert: str
    key: str
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Of an authority of their own."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Certificates(str(cert), str(key), context)


@asynccontextmanager
async def served(bind: str) -> AsyncIterator[int]:
    """The port that MQTT is served on, if it is one."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, MQTT(), bind)
        yield getattr(server.addresses[0], "port", 0)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def framed() -> AsyncIterator[Framed]:
    """A client that has not asked for the upgrade yet."""
    async with (
        served("ws://127.0.0.1:0") as port,
        await trio.open_tcp_stream("127.0.0.1", port) as below,
    ):
        yield Framed(below)


def stream(
    below: trio.abc.Stream, scheme: str, certificates: Certificates
) -> trio.SSLStream[trio.abc.Stream] | Framed | trio.abc.Stream:
    """With the layers that a scheme has."""
    if scheme in {"tls", "wss"}:
        below = trio.SSLStream(below, certificates.client, server_hostname="127.0.0.1")
    return Framed(below) if scheme in {"ws", "wss"} else below


@pytest.mark.parametrize("scheme", ["tcp", "tls", "ws", "wss", "unix"])
async def test_nothing_is_lost(scheme: str, certificates: Certificates, tmp_path: Path) -> None:
    """[MQTT-4.2.0-1] Every transport keeps all bytes, in their order, both ways."""
    path = tmp_path / "socket"
    files = f"?cert={certificates.cert}&key={certificates.key}"
    bind = f"{scheme}://127.0.0.1:0{files if scheme in {'tls', 'wss'} else ''}"
    payloads = [bytes([number]) + bytes(range(256)) * 1000 for number in range(10)]
    async with served(f"unix:{path}" if scheme == "unix" else bind) as port:
        below: trio.SocketStream = (
            await trio.open_unix_socket(str(path))
            if scheme == "unix"
            else await trio.open_tcp_stream("127.0.0.1", port)
        )
        async with below:
            end = stream(below, scheme, certificates)
            if isinstance(end, Framed):
                assert isinstance(await end.open("mqtt"), AcceptConnection)
            peer = Peer(end, V5)  # type: ignore[arg-type]  # it needs no more of a stream
            await peer.send(connect_packet("peer", None, 0, V5))
            assert isinstance(await peer.receive(), ConnAck)
            await peer.subscribe("a")
            for payload in payloads:
                await peer.send(Publish(b"a", payload))
                assert (await peer.message()).payload == payload


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_packets_in_whatever_frames(size: int) -> None:
    """[MQTT-6.0.0-2] Their bounds mean nothing: packets are cut by them, or come several in one."""
    packets = Connect(client_id="c"), PingReq(), PingReq()
    data = b"".join(encode(packet, V5) for packet in packets)
    async with framed() as end:
        assert isinstance(await end.open("mqtt"), AcceptConnection)
        for start in range(0, len(data), size):
            await end.send(BytesMessage(data[start : start + size]))
        peer = Peer(end, V5)  # type: ignore[arg-type]  # it needs no more of a stream

        assert isinstance(await peer.receive(), ConnAck)
        assert [await peer.receive(), await peer.receive()] == [PingResp(), PingResp()]


async def test_a_text_frame_closes_the_connection() -> None:
    """[MQTT-6.0.0-1] Though it holds a packet; and binary is what the server sends."""
    async with framed() as end:
        await end.open("mqtt")
        await end.send(BytesMessage(encode(Connect(client_id="c"), V5)))
        assert isinstance(await end.event(), BytesMessage)
        await end.send(TextMessage("\xc0\0"))
        event = await end.event()
        while not isinstance(event, CloseConnection):
            assert isinstance(event, BytesMessage)  # a DISCONNECT
            event = await end.event()

        assert event.code == 1003


@pytest.mark.parametrize("offered", [["mqtt"], ["chat", "mqtt"], ["mqttv3.1", "mqtt"]])
async def test_the_subprotocol_is_mqtt(offered: list[str]) -> None:
    """[MQTT-6.0.0-4] Whatever else is offered."""
    async with framed() as end:
        accepted = await end.open(*offered)

        assert isinstance(accepted, AcceptConnection)
        assert accepted.subprotocol == "mqtt"


@pytest.mark.parametrize("offered", [[], ["chat"], ["MQTT"]])
async def test_who_does_not_offer_mqtt_is_refused(offered: list[str]) -> None:
    """[MQTT-6.0.0-3] With 400, before anything is sent."""
    async with framed() as end:
        refused = await end.open(*offered)

        assert isinstance(refused, RejectConnection)
        assert refused.status_code == 400
