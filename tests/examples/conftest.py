"""What runs an example: as a module here, or as the program that its docstring tells of."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import pytest
import trio

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 20
"""Seconds after which a test has failed; a machine may be busy."""

_ADDRESS = re.compile(rb"tcp://127\.0\.0\.1:(\d+)")


class Peer:
    """A client that speaks in lines, or in bytes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._heard = b""

    async def say(self, *lines: str) -> None:
        """Send lines, all at once."""
        await self.stream.send_all("".join(f"{line}\n" for line in lines).encode())

    async def hear(self) -> str:
        """The next line that comes."""
        while b"\n" not in self._heard:
            self._heard += await self._receive() or b"(the end)\n"
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    async def ask(self, data: bytes) -> bytes:
        """Send data and end the stream; all that comes back."""
        await self.stream.send_all(data)
        await self.stream.send_eof()
        return await self.rest()

    async def rest(self) -> bytes:
        """All that still comes."""
        while data := await self._receive():
            self._heard += data
        return self._heard

    async def _receive(self) -> bytes:
        with trio.fail_after(PATIENCE):
            return bytes(await self.stream.receive_some())


class Program:
    """A running example, listening on a port."""

    def __init__(self, process: trio.Process, port: int) -> None:
        self.process = process
        self.port = port

    async def drain(self) -> tuple[int, str]:
        """Interrupt it; its exit status and what it printed since."""
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGINT)
        with trio.fail_after(PATIENCE):
            printed = b"".join([data async for data in self.process.stdout])
            return await self.process.wait(), printed.decode()


async def _port(stdout: trio.abc.ReceiveStream) -> int:
    """The port that the first line names."""
    printed = b""
    with trio.fail_after(PATIENCE):
        while b"\n" not in printed:
            data = await stdout.receive_some()
            assert data, f"it printed {printed!r} and ended"
            printed += data
    address = _ADDRESS.search(printed)
    assert address is not None, printed
    return int(address[1])


Connect: TypeAlias = Callable[[int], AbstractAsyncContextManager[Peer]]
Start: TypeAlias = Callable[..., AbstractAsyncContextManager[Program]]


@pytest.fixture
def example(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A fresh copy of the example that the test's module is named after."""
    name = request.module.__name__.rpartition("test_")[2]
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def connect() -> Connect:
    """Connects a `Peer` to a port."""

    @asynccontextmanager
    async def connected(port: int) -> AsyncIterator[Peer]:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            yield Peer(stream)

    return connected


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts ``python …`` with an example, in an empty folder; ends it if it still runs."""

    @asynccontextmanager
    async def started(*words: str) -> AsyncIterator[Program]:
        process = await trio.lowlevel.open_process(
            [sys.executable, *words],
            stdout=subprocess.PIPE,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(EXAMPLES)},
        )
        try:
            assert process.stdout is not None
            yield Program(process, await _port(process.stdout))
        finally:
            process.kill()
            await process.wait()
            if process.stdout is not None:
                await process.stdout.aclose()

    return started
