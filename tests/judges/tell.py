"""Protocols for judges: one tells what the server knows of its peer, one tells much."""

from __future__ import annotations

import json
from functools import partial

from attrs import asdict

from speedo_trio import Connection, LineProtocol, Message


class _Known(Message):
    """Asks what is known of a connection."""

    __slots__ = ("connection",)

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def execute(self) -> bytes:
        connection = self.connection
        known = {
            "tls": connection.tls and asdict(connection.tls),
            "proxy": connection.proxy and asdict(connection.proxy),
            "websocket": connection.websocket and asdict(connection.websocket),
            "peer": str(connection.peer),
            "local": str(connection.local),
        }
        return json.dumps(known, default=partial(bytes.decode, encoding="latin-1")).encode()


class Tell(LineProtocol):
    """Tells who the peer is. Over WebSocket it is called tell, for those who ask for names."""

    @classmethod
    def choose_subprotocol(cls, offered: tuple[str, ...]) -> str | None:
        return "tell" if "tell" in offered else None

    def frame(self, line: bytes) -> Message:
        return _Known(self.connection)


class _Repeat(Message):
    """Asks for as many bytes as its line says."""

    __slots__ = ("line",)

    def __init__(self, line: bytes) -> None:
        self.line = line

    def execute(self) -> bytes:
        return b"z" * int(self.line) if self.line.isdigit() else self.line


class TellMuch(LineProtocol):
    """Answers a number with so many bytes, and everything else with itself."""

    limit = 2**25

    def frame(self, line: bytes) -> Message:
        return _Repeat(line)
