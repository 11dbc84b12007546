"""A WebSocket (RFC 6455) as a Trio stream, for a client of MQTT: bytes in binary messages.

Next: `speedo_trio.mqtt.client.login`.
"""

from __future__ import annotations

from typing import Final

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

SUBPROTOCOL: Final = "mqtt"


class WebSocketStream(trio.abc.Stream):
    """Each `send_all` is one binary message; what is received is the bytes of all messages.

    What breaks the protocol is a `trio.BrokenResourceError`. A close frame is the end.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        """Args: what carries it; it is closed with the WebSocket."""
        self._stream = stream
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._sending = trio.Lock()  # a pong goes out while a message may be on its way
        self._received = bytearray()
        self._ended = False
        self._accepted = False

    async def open(self, host: str, path: str) -> None:
        """Shake hands, and ask for the subprotocol (section 6).

        After a cancel or failure, close the stream.

        Args:
            host: the value of the header.
            path: what to ask for.

        Raises:
            trio.BrokenResourceError: the server refused, or speaks something else.
        """
        await self._send(Request(host=host, target=path, subprotocols=[SUBPROTOCOL]))
        while not self._accepted:
            if self._ended:
                raise trio.BrokenResourceError("the server answered no WebSocket handshake")
            await self._receive()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._send(BytesMessage(data=bytes(data)))

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while not self._received and not self._ended:
            await self._receive()
        size = len(self._received) if max_bytes is None else max_bytes
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def _send(self, event: Event) -> None:
        async with self._sending:
            try:
                data = self._protocol.send(event)
            except ProtocolError as error:  # the server has closed
                raise trio.BrokenResourceError(f"WebSocket: {error}") from error
            await self._stream.send_all(data)

    async def _receive(self) -> None:
        data = await self._stream.receive_some()
        try:
            self._protocol.receive_data(bytes(data) or None)
            for event in self._protocol.events():
                await self._take(event)
        except ProtocolError as error:
            raise trio.BrokenResourceError(f"WebSocket: {error}") from error
        if not data:
            self._ended = True

    async def _take(self, event: Event) -> None:
        match event:
            case AcceptConnection():
                self._accepted = True
            case RejectConnection(status_code=status):
                raise trio.BrokenResourceError(f"the server answered with status {status}")
            case BytesMessage(data=data):
                self._received += data
            case TextMessage():  # section 6
                raise trio.BrokenResourceError("a text message; allowed are binary ones")
            case Ping():
                await self._send(event.response())
            case CloseConnection():
                self._ended = True
            case _:
                pass  # a pong; the rest of what a server says when it refuses
