"""WebSocket over a wire (RFC 6455): a server's end, its binary messages as a stream of bytes.

Where a message ends means nothing: MQTT, for one, says that its packets may begin and end anywhere
in them [MQTT-6.0.0-2]. wsproto, which reads the frames, is not needed for the rest of the house.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from speedo_trio.errors import (
    ConfigError,
    ConnectionLost,
    FrameTooLong,
    HandlerError,
    HandshakeError,
    MalformedFrame,
    ProtocolError,
)
from speedo_trio.events import WebSocketInfo
from speedo_trio.io.layer import Layer, more, part

try:
    from wsproto.connection import Connection, ConnectionState, ConnectionType
    from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
    from wsproto.frame_protocol import CloseReason

    from speedo_trio.io.upgrade import BadRequest, UpgradeRequest
except ImportError as _error:
    _missing: ImportError | None = _error
else:
    _missing = None

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from speedo_trio.io.wire import Data, Wire

LIMIT_BYTES = 2**24
"""The longest message that is taken if nothing else is said: 16 MiB. It costs no memory, because
bytes are handed on as they come; but who sends more in one message is not what was expected."""

_BINARY, _CLOSE, _PONG = 0x82, 0x88, 0x8A
"""Opcodes of whole messages (RFC 6455, 5.2)."""

_REASON_BYTES = 123
"""The most text in a Close frame (RFC 6455, 5.5)."""


def require_wsproto() -> None:
    """See that WebSockets can be served.

    Raises:
        ConfigError: what they need is not installed.
    """
    if _missing is not None:
        raise ConfigError("ws:// needs wsproto: pip install 'speedo_trio[ws]'") from _missing


class WebSocketWire(Layer):
    """The server's end of a WebSocket; `accept_websocket` makes it.

    The peer's Close reads as the end of the stream. What is sent after that still leaves, and
    `send_eof` then answers the Close: a peer that asks and closes gets its replies (RFC 6455, 5.5.1
    lets an answer wait for what is being sent).

    What a peer must not send makes `read` raise: a text message, a message over the limit, frames
    that break the protocol. `send_eof` then tells the peer why, behind the replies that it is owed.
    """

    __slots__ = ("_close", "_frames", "_limit", "_received", "_said", "info")

    info: WebSocketInfo
    """What the handshake asked for and agreed on."""

    def __init__(self, below: Wire, info: WebSocketInfo, limit: int) -> None:
        super().__init__(below)
        self.info = info
        self._limit = limit
        self._frames = Connection(ConnectionType.SERVER)
        self._received = 0  # bytes of the message that is being received
        self._close = CloseReason.NORMAL_CLOSURE.to_bytes(2, "big")  # what our Close will hold
        self._said = False  # our Close was sent

    async def begin(self, response: bytes, rest: bytes) -> None:
        """Send the response that opens it; `rest` is what the peer has sent by now."""
        await self._say(response)
        self._rest = memoryview(self._receive(rest))

    async def send_eof(self, *, leaving: bool = False) -> None:
        """Send a Close: with 1000, with the peer's code if it has closed, or with its error.

        It is 1001, for going away, with `leaving`; unless the peer has ended its stream.

        Then `read` goes on up to the peer's Close; only when that had come before, or nothing more
        can, the wire below ends as well. A peer that takes no bytes gets it within a second or not
        at all.
        """
        if leaving and not self._over:
            self._close = CloseReason.GOING_AWAY.to_bytes(2, "big")
        await self._say_farewell()
        if self._over:
            try:
                await self._below.send_eof()
            except ConnectionLost:  # peers go as soon as they have the Close
                pass

    def _encode(self, data: Data) -> bytes:
        if self._said:
            raise ConnectionLost("the WebSocket is closed")
        return b"".join((_head(_BINARY, len(data)), data))

    def _decode(self, raw: bytes) -> bytes:
        self._frames.receive_data(raw)
        data: list[bytes] = []
        pongs: list[bytes] = []
        for event in self._frames.events():
            match event:
                case BytesMessage():
                    self._received += len(event.data)
                    if self._received > self._limit:
                        self._refuse_size()
                        break
                    data.append(bytes(event.data))
                    if event.message_finished:
                        self._received = 0
                case Ping():
                    pongs += _head(_PONG, len(event.payload)), event.payload
                case TextMessage():  # [MQTT-6.0.0-1]
                    text = "a text message; allowed are binary ones"
                    self._refuse(CloseReason.UNSUPPORTED_DATA, ProtocolError(f"WebSocket: {text}"))
                    break
                case CloseConnection():
                    self._closed(event.code, event.reason or "")
                case _:
                    pass  # a pong that nobody asked for (RFC 6455, 5.5.3)
        if pongs and not self._said:  # after a Close, peers take nothing more
            self._answer(b"".join(pongs))
        return b"".join(data)

    def _closed(self, code: int, reason: str) -> None:
        """The peer's Close came, or what comes is no WebSocket."""
        if self._frames.state is ConnectionState.OPEN:
            self._refuse(code, MalformedFrame(f"WebSocket: {reason}"))
            return
        no_code = code == CloseReason.NO_STATUS_RCVD
        self._close = b"" if no_code else code.to_bytes(2, "big")
        self._end()

    def _refuse_size(self) -> None:
        text = f"WebSocket: a message is longer than {self._limit} bytes"
        self._refuse(CloseReason.MESSAGE_TOO_BIG, FrameTooLong(text))

    def _refuse(self, code: int, error: ProtocolError) -> None:
        reason = str(error).removeprefix("WebSocket: ").encode("ascii", "replace")
        self._close = code.to_bytes(2, "big") + reason[:_REASON_BYTES]
        self._end(error)

    def _farewell(self) -> bytes:
        if self._said:
            return b""
        self._said = True
        return _head(_CLOSE, len(self._close)) + self._close


async def accept_websocket(
    below: Wire,
    *,
    path: str | None,
    choose: Callable[[tuple[str, ...]], str | None],
    origins: Collection[str] = (),
    limit: int = LIMIT_BYTES,
) -> WebSocketWire:
    """Do a server's side of the handshake; the wire `below` belongs to the result.

    It waits for the peer as long as that takes: the deadline is the caller's. The request may be
    16 KiB long. Extensions are not offered, so nothing is compressed.

    Args:
        below: a wire from which nothing was read.
        path: the one that may be asked for, without a query; None for any.
        choose: gives one of the subprotocols that the peer offers, or None; it raises
            `ProtocolError` to refuse the peer.
        origins: those whose pages may ask, in lower case; none: all. Who tells no origin is no
            browser, and may ask.
        limit: the most bytes in a message.

    Raises:
        HandshakeError: the peer asked for something else. It was told, if it took that within a
            second.
        ConnectionLost: the wire broke or ended.
        ConfigError: wsproto is not installed.
        HandlerError: `choose` gave what was not offered.
    """
    require_wsproto()
    request = UpgradeRequest()
    try:
        while not request.feed(await more(below, "the WebSocket handshake")):
            pass
        if path is not None and request.path != path:
            raise BadRequest(HTTPStatus.NOT_FOUND, f"there is nothing at {request.path}")
        _check_origin(request, origins)
        subprotocol = _chosen(choose, request.subprotocols)
    except BadRequest as bad:
        await part(below, bad.response)
        raise HandshakeError(f"WebSocket handshake: {bad}") from bad
    info = WebSocketInfo(path=request.target, subprotocol=subprotocol, headers=request.headers)
    wire = WebSocketWire(below, info, limit)
    await wire.begin(request.accept(subprotocol), request.rest)
    return wire


def _check_origin(request: UpgradeRequest, allowed: Collection[str]) -> None:
    """Browsers connect for any page, with what rights their user has here (RFC 6455, 10.2)."""
    for origin in request.origins:
        if allowed and origin not in allowed:
            text = f"pages of {origin!r} may not connect here, only those of {', '.join(allowed)}"
            raise BadRequest(HTTPStatus.FORBIDDEN, text)


def _chosen(
    choose: Callable[[tuple[str, ...]], str | None], offered: tuple[str, ...]
) -> str | None:
    try:
        chosen = choose(offered)
    except ProtocolError as error:
        raise BadRequest(HTTPStatus.BAD_REQUEST, str(error)) from error
    if chosen is not None and chosen not in offered:
        raise HandlerError(f"subprotocol {chosen!r} was chosen; offered were {offered}")
    return chosen


def _head(opcode: int, size: int) -> bytes:
    """The head of a frame of this side, for up to 65535 bytes: no step is longer."""
    if size < 126:
        return bytes((opcode, size))
    return bytes((opcode, 126)) + size.to_bytes(2, "big")
