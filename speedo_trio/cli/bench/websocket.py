"""A WebSocket (RFC 6455) as a Trio stream, the client's side: messages out, their bytes in."""

from __future__ import annotations

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
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError

from speedo_trio.cli.bench.failure import Failure, Kind

_ORDERLY = (CloseReason.NORMAL_CLOSURE, CloseReason.GOING_AWAY, CloseReason.NO_STATUS_RCVD)
"""The codes of a close frame that tell of no mistake (RFC 6455, 7.4.1)."""


class WebSocketStream(trio.abc.Stream):
    """Each `send_all` is one binary message; what is received is the bytes of all messages.

    What breaks the protocol, or ends it in another way than by a close frame, is a `Failure`.
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
        """Shake hands. After a cancel or failure, close the stream.

        Args:
            host: The value of the header: the server's name, with its port if it is unusual.
            path: What to ask for.

        Raises:
            Failure: the server refused, or speaks something else.
        """
        await self._send(Request(host=host, target=path))
        while not self._accepted:
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
            await self._stream.send_all(self._protocol.send(event))

    async def _receive(self) -> None:
        data = await self._stream.receive_some()
        try:
            self._protocol.receive_data(bytes(data) or None)
            for event in self._protocol.events():
                await self._take(event)
        except ProtocolError as error:
            raise Failure(Kind.WEBSOCKET, str(error)) from error

    async def _take(self, event: Event) -> None:
        match event:
            case AcceptConnection():
                self._accepted = True
            case RejectConnection(status_code=status):
                raise Failure(Kind.WEBSOCKET, f"the server answered with status {status}")
            case BytesMessage(data=data):
                self._received += data
            case TextMessage(data=text):
                self._received += text.encode()
            case Ping():
                await self._send(event.response())
            case CloseConnection(code=code, reason=reason):
                if code not in _ORDERLY:  # the server's, or that of what it sent
                    raise Failure(Kind.WEBSOCKET, f"closed with code {code}: {reason}")
                self._ended = True
            case _:
                pass  # a pong; the rest of what a server says when it refuses
