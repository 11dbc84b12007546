"""Clients for scripts: sockets that never wait."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.guard.driver import Script

CONNACK, SUBACK = 0x20, 0x90


class Crowd:
    """All clients of a script, of a server at a Unix socket of this path."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.poller: select.poll = select.poll()

    def client(self) -> Client:
        """One more, connected."""
        return Client(self)


class Client:
    """A connection of a script's."""

    def __init__(self, crowd: Crowd) -> None:
        self._poller = crowd.poller
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(crowd.path)
        self._socket.setblocking(False)
        self._poller.register(self._socket, select.POLLIN)
        self._rest = b""

    def send(self, data: bytes) -> None:
        """Send all of it; more than fits is a mistake of the script."""
        assert self._socket.send(data) == len(data)

    def take(self) -> bytes:
        """What has come, and was not put back."""
        data, self._rest = self._rest, b""
        while True:
            try:
                came = self._socket.recv(65_536)
            except BlockingIOError:
                return data
            assert came, "the server ended a connection"
            data += came

    def put_back(self, rest: bytes) -> None:
        """Keep what is not whole yet."""
        self._rest = rest

    def packets(self) -> list[tuple[int, bytes]]:
        """The MQTT packets that have come: the first byte of each, and its body."""
        data, at = self.take(), 0
        packets: list[tuple[int, bytes]] = []
        while len(data) - at >= 2:
            size, shift, start = 0, 0, at + 1
            while True:
                byte = data[start]
                size |= (byte & 127) << shift
                shift += 7
                start += 1
                if byte < 128:
                    break
                if start == len(data):
                    self.put_back(data[at:])
                    return packets
            if len(data) - start < size:
                break
            packets.append((data[at], data[start : start + size]))
            at = start + size
        self.put_back(data[at:])
        return packets

    def close(self) -> None:
        """End it."""
        self._poller.unregister(self._socket)
        self._socket.close()


def text_field(text: bytes) -> bytes:
    """Its length, and it."""
    return len(text).to_bytes(2) + text


def connect_packet(name: bytes, version: int) -> bytes:
    """CONNECT with a clean start."""
    properties = b"\0" if version == 5 else b""
    body = b"\0\4MQTT%c\2\0\0" % version + properties + text_field(name)
    return b"\x10%c" % len(body) + body


def all_answer(clients: list[Client], wanted: int) -> Script:
    """Wait until each has one packet of this type."""
    waiting = list(clients)
    while waiting:
        yield
        for client in list(waiting):
            for first, _ in client.packets():
                assert first == wanted, f"0x{first:02x} came where 0x{wanted:02x} was expected"
                waiting.remove(client)
