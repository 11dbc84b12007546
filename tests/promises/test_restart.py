"""A restart that no client notices: one server follows another on a socket that outlives both.

Promise 6, seen from outside: the real command, started as systemd starts it, under load.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import define, field

from tests.passing import start_with

REMEMBERING = '''
"""An echo that writes down which lines it has executed."""

import os

from speedo_trio import LineProtocol, Message

book = os.open(f"executed-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


class Line(Message):
    def __init__(self, line: bytes) -> None:
        self.line = line

    def execute(self) -> bytes:
        os.write(book, self.line + b"\\n")
        return self.line


class Remembering(LineProtocol):
    def frame(self, line: bytes) -> Message:
        return Line(line)
'''


@define(eq=False)
class Restarted:
    """A socket, and the servers that follow one another on it."""

    listening: socket.socket
    folder: Path
    protocol: str
    running: list[subprocess.Popen[str]] = field(factory=list)
    ended: list[tuple[int, str, str]] = field(factory=list)
    """How each ended: status, stdout, stderr."""

    async def start(self) -> None:
        """Start the next one, and wait until it serves."""
        words = ("-m", "speedo_trio", "serve", self.protocol, "--bind", "systemd:")
        process = start_with([self.listening], *words, cwd=self.folder)
        self.running.append(process)
        assert process.stdout is not None
        line = await trio.to_thread.run_sync(process.stdout.readline)
        assert line.startswith(f"serving {self.protocol} on ")

    async def stop(self) -> None:
        """Drain the oldest one, and wait until it has ended."""
        process = self.running[0]
        process.send_signal(signal.SIGTERM)
        out, err = await trio.to_thread.run_sync(process.communicate)
        self.running.remove(process)
        self.ended.append((process.returncode, out, err))

    async def restart(self, *, overlapping: bool) -> None:
        """Replace the server by a new one."""
        if overlapping:
            await self.start()
            await self.stop()
        else:
            await self.stop()
            await self.start()

    def kill(self) -> None:
        """Leave nothing behind."""
        for process in self.running:
            process.kill()
            process.communicate()


@define(eq=False)
class Load:
    """Clients that never rest, and what became of their requests."""

    listening: socket.socket
    answered: Counter[bytes] = field(factory=Counter)
    retried: int = 0
    """Requests on a kept connection that met its end, and were sent again on a new one."""
    slowest: float = 0.0
    over: bool = False

    async def connect(self) -> trio.SocketStream:
        """A new connection."""
        made = trio.socket.socket(self.listening.family)
        await made.connect(self.listening.getsockname())
        return trio.SocketStream(made)

    async def ask(self, stream: trio.SocketStream, request: bytes) -> bool:
        """Send a request and read its reply; False if the stream ended without a byte of it."""
        began = trio.current_time()
        await stream.send_all(request + b"\n")
        reply = b""
        while not reply.endswith(b"\n"):
            data = await stream.receive_some()
            if not data:
                assert not reply, f"half a reply: {reply!r}"
                return False
            reply += data
        assert reply == request + b"\n"
        self.answered[request] += 1
        self.slowest = max(self.slowest, trio.current_time() - began)
        return True

    async def come_and_go(self, name: bytes) -> None:
        """A connection for each request: every one of them is answered."""
        number = 0
        while not self.over:
            number += 1
            async with await self.connect() as stream:
                assert await self.ask(stream, b"%s:%d" % (name, number)), "a request was lost"
                await stream.send_eof()
                assert await stream.receive_some() == b"", "something was answered twice"

    async def stay(self, name: bytes) -> None:
        """Ten requests on each connection; one that meets its end was not executed."""
        number = 0
        while not self.over:
            async with await self.connect() as stream:
                for _ in range(10):
                    if not await self.ask(stream, b"%s:%d" % (name, number)):
                        self.retried += 1
                        break
                    number += 1


@asynccontextmanager
async def restarting(
    listening: socket.socket, folder: Path, protocol: str, patience: float
) -> AsyncIterator[Restarted]:
    """A server that can be replaced; none is left at the end."""
    restarted = Restarted(listening, folder, protocol)
    with trio.fail_after(patience):
        try:
            await restarted.start()
            yield restarted
        finally:
            restarted.kill()


@pytest.fixture(params=["tcp", "unix"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """The socket that outlives them."""
    if request.param == "tcp":
        made = socket.create_server(("127.0.0.1", 0), backlog=1000)
    else:
        made = socket.socket(socket.AF_UNIX)
        made.bind(f"{tmp_path}/s")
        made.listen(1000)
    with made:
        yield made


async def under_load(restarted: Restarted, requests: int, restarts: int) -> Load:
    """Replace the server again and again while clients ask it; what they met."""
    load = Load(restarted.listening)
    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(load.come_and_go, b"goes%d" % number)
            nursery.start_soon(load.stay, b"stays%d" % number)
        done = 0
        while done < restarts or load.answered.total() < requests:
            await restarted.restart(overlapping=done % 2 == 0)
            done += 1
            await trio.sleep(0.1)
        load.over = True
    while restarted.running:
        await restarted.stop()
    return load


def check_nothing_was_lost(restarted: Restarted, load: Load) -> None:
    """See that each request was answered once, and that the servers say so too."""
    assert set(load.answered.values()) == {1}
    for status, out, err in restarted.ended:
        assert (status, err) == (0, "")
        assert "nothing dropped" in out


@pytest.mark.soak
async def test_no_request_is_lost(listening: socket.socket, tmp_path: Path, *, soak: bool) -> None:
    """Thousands of requests during six restarts, overlapping and not: each is answered, once.

    ``SPEEDO_SOAK=1 pytest -m soak tests/promises`` takes a hundred thousand.
    """
    async with restarting(listening, tmp_path, "echo", 600 if soak else 60) as restarted:
        load = await under_load(restarted, 100_000 if soak else 3000, 6)
    check_nothing_was_lost(restarted, load)

    assert len(load.answered) >= (100_000 if soak else 3000)
    print(  # noqa: T201  # figures for who asks with -s
        f"{len(load.answered)} requests, {len(restarted.ended) - 1} restarts, "
        f"{load.retried} sent again, the slowest took {load.slowest:.2f} s"
    )


def books_in(folder: Path) -> list[bytes]:
    """What each server has written down."""
    return [file.read_bytes() for file in folder.glob("executed-*")]


@pytest.mark.parametrize("listening", ["tcp"], indirect=True)
async def test_no_request_is_executed_twice(listening: socket.socket, tmp_path: Path) -> None:
    """What all the servers together have executed is what was asked for, each once."""
    (tmp_path / "book.py").write_text(REMEMBERING, "utf-8")
    async with restarting(listening, tmp_path, "book:Remembering", 60) as restarted:
        load = await under_load(restarted, 1500, 5)
    check_nothing_was_lost(restarted, load)

    books = books_in(tmp_path)
    assert len(books) == len(restarted.ended)
    assert Counter(b"".join(books).split()) == load.answered
