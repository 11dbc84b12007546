"""Those who attack: `python -m benchmarks.attackers NAME PORT SOURCE ARGUMENT`, each a process.

An attacker prints a line when its attack is under way, goes on until SIGTERM, and then prints a
JSON object: what it counted.
"""

from __future__ import annotations

import json
import random
import select
import signal
import socket
import ssl
import struct
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, NoReturn

from benchmarks.servers import HOST

if TYPE_CHECKING:
    from collections.abc import Callable

DRIP_SECONDS = 5.0
"""Between two bytes of a connection that sends slowly."""

_RESET = struct.pack("ii", 1, 0)
_IP_BIND_ADDRESS_NO_PORT = 24
"""ip(7): the port is chosen at connect, so that one port serves for many targets."""

counts: Counter[str] = Counter()
"""What has been done so far."""


def connected(port: int, source: str) -> socket.socket:
    """A connection from this address."""
    client = socket.socket()
    try:
        if source != HOST:
            client.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            client.bind((source, 0))
        client.connect((HOST, port))
    except BaseException:
        client.close()
        raise
    counts["connected"] += 1
    return client


def reset(client: socket.socket) -> None:
    """Close it without a farewell."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    client.close()


def hello() -> bytes:
    """The first message of a TLS client."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def fat_hello() -> bytes:
    """The beginning of the longest first message that OpenSSL takes: 128 KiB but for a byte."""
    size, part = 131_396 - 4, 16_384
    message = b"\x01" + size.to_bytes(3) + b"\x03\x03" + bytes(size - 2 - 1)
    parts = [message[start : start + part] for start in range(0, len(message), part)]
    return b"".join(b"\x16\x03\x01" + len(each).to_bytes(2) + each for each in parts)


def drip(port: int, source: str, number: int, data: bytes, first: int = 0) -> NoReturn:
    """Hold so many connections, each with a byte of the data every now and then.

    Args:
        first: how many bytes are sent at once, at the beginning.
    """
    clients = [connected(port, source) for _ in range(number)]
    for client in clients:
        client.sendall(data[:first])
    ready()
    place = first
    while True:
        for client in clients:
            try:
                client.send(data[place : place + 1], socket.MSG_DONTWAIT)
            except OSError:
                counts["ended"] += 1
            time.sleep(DRIP_SECONDS / number)
        place = (place + 1) % len(data)


def lines(port: int, source: str, number: int) -> NoReturn:
    """A line without an end."""
    drip(port, source, number, b"." * 4096)


def hellos_without_end(port: int, source: str, number: int) -> NoReturn:
    """Half of a TLS client's first message, then a byte of the rest."""
    data = hello()
    drip(port, source, number, data, len(data) // 2)


def fat_hellos(port: int, source: str, number: int) -> NoReturn:
    """All but the last byte of the longest first message."""
    data = fat_hello()
    clients = [connected(port, source) for _ in range(number)]
    for client in clients:
        client.sendall(data)
    ready()
    rest()


def headers(port: int, source: str, number: int) -> NoReturn:
    """A PROXY header that is long in coming."""
    drip(port, source, number, b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", 11)


def one_line_each(port: int, source: str, number: int) -> NoReturn:
    """Connections that send a line and then nothing."""
    clients = [connected(port, source) for _ in range(number)]
    for client in clients:
        client.sendall(b"line\n")
        client.recv(100)
    ready()
    rest()


def churn(port: int, source: str, number: int) -> NoReturn:
    """Connect and close, as fast as it goes."""
    ready()
    while True:
        connected(port, source).close()


def crash(port: int, source: str, number: int) -> NoReturn:
    """Connect and reset, as fast as it goes."""
    ready()
    while True:
        reset(connected(port, source))


def crowd(port: int, source: str, number: int) -> NoReturn:
    """Connect and reset, from so many addresses, as fast as it goes."""
    ready()
    while True:
        place = random.randrange(number)
        reset(connected(port, f"127.{1 + place // 62500}.{place // 250 % 250}.{1 + place % 250}"))


def stay(port: int, source: str, number: int) -> NoReturn:
    """Hold as many connections as possible, up to so many; come back at once when refused."""
    poll = select.poll()
    clients: dict[int, socket.socket] = {}
    told = False
    while True:
        if len(clients) < number:
            client = connected(port, source)
            clients[client.fileno()] = client
            poll.register(client, select.POLLIN)
        for descriptor, _ in poll.poll(0 if len(clients) < number else 100):
            poll.unregister(descriptor)
            clients.pop(descriptor).close()
            counts["refused"] += 1
        if not told and (counts["refused"] or len(clients) == number):
            told = True
            ready()


def vanish(port: int, source: str, number: int) -> NoReturn:
    """Requests in full flow, then a reset at some byte; so many connections at a time."""
    data = b"a line of some length\n" * 2000
    ready()
    while True:
        clients = [connected(port, source) for _ in range(number)]
        for client in clients:
            client.setblocking(False)
            try:
                client.send(data[: random.randrange(len(data))])
            except OSError:
                pass
        for client in clients:
            if random.random() < 0.5:
                try:
                    client.recv(random.randrange(1, 10_000))
                except OSError:
                    pass
            reset(client)


def deaf(port: int, source: str, number: int) -> NoReturn:
    """So many connections that send as much as they can and read nothing."""
    clients = []
    for _ in range(number):
        client = connected(port, source)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        clients.append(client)
    ready()
    data = b"a line of some length\n" * 1000
    while True:
        for client in clients:
            try:
                counts["bytes"] += client.send(data)
            except BlockingIOError:
                pass
            except OSError:
                counts["ended"] += 1
        time.sleep(0.01)


def handshakes(port: int, source: str, number: int) -> NoReturn:
    """So many whole TLS handshakes a second."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def shake() -> None:
        with context.wrap_socket(connected(port, source)) as client:
            client.sendall(b"line\n")
            assert client.recv(100) == b"line\n"
        counts["handshakes"] += 1

    at_pace(number, shake)


def greetings(port: int, source: str, number: int) -> NoReturn:
    """So many first messages of TLS clients a second, which cost nothing; who sends them leaves."""
    data, last = hello(), []

    def greet() -> None:
        client = connected(port, source)
        try:
            client.sendall(data)
        except OSError:
            counts["refused"] += 1
        last.append(client)
        if len(last) > 100:
            reset(last.pop(0))

    at_pace(number, greet)


def volleys(port: int, source: str, number: int) -> NoReturn:
    """So many connections, which all send the first message of a TLS client at the same moment."""
    data = hello()
    ready()
    while True:
        clients = [connected(port, source) for _ in range(number)]
        time.sleep(0.5)
        for client in clients:
            client.send(data)
        time.sleep(1)
        for client in clients:
            reset(client)
        counts["volleys"] += 1


def at_pace(number: int, act: Callable[[], None]) -> NoReturn:
    """Act so often in a second; late ones are caught up with."""
    ready()
    began, done = time.perf_counter(), 0
    while True:
        due = int((time.perf_counter() - began) * number)
        while done < due:
            done += 1
            try:
                act()
            except OSError:
                counts["failed"] += 1
        time.sleep(0.5 / number)


def ready() -> None:
    """Tell that the attack is under way."""
    print("ready", flush=True)


def rest() -> NoReturn:
    """Do nothing more."""
    while True:
        signal.pause()


ATTACKERS: dict[str, Callable[[int, str, int], NoReturn]] = {
    each.__name__: each
    for each in (
        lines,
        hellos_without_end,
        fat_hellos,
        headers,
        one_line_each,
        churn,
        crash,
        crowd,
        stay,
        vanish,
        deaf,
        handshakes,
        greetings,
        volleys,
    )
}


def main(name: str, port: str, source: str, number: str) -> None:
    """Attack until SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        ATTACKERS[name](int(port), source, int(number))
    except KeyboardInterrupt:
        print(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
