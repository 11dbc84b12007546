"""Echo on an asyncio `Protocol` with one `run_in_executor` a line, in order.

What an asyncio server does when its messages may block. Each connection has a task that runs
its lines one after another, so replies keep their order; connections share the default
executor. Reading stops while too many lines wait.
"""

from __future__ import annotations

import asyncio
from typing import cast

from benchmarks.peers.terms import BACKLOG, HOST, announce, execute, port_argument

WAITING_LINES = 1024  # reading stops here, and goes on at half of it


class EchoProtocol(asyncio.Protocol):
    """Answer each line from the executor, one line of a connection at a time."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._worker = asyncio.create_task(self._execute_lines())

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._lines.put_nowait(line)
        if self._lines.qsize() >= WAITING_LINES:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._lines.put_nowait(None)
        return True  # the worker closes, after the last reply

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._worker.cancel()

    async def _execute_lines(self) -> None:
        loop = asyncio.get_running_loop()
        while (line := await self._lines.get()) is not None:
            self._transport.write(await loop.run_in_executor(None, execute, line))
            await self._writable.wait()
            if self._lines.qsize() < WAITING_LINES // 2:
                self._transport.resume_reading()
        self._transport.close()


async def serve(port: int) -> None:
    """Serve until the process ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(EchoProtocol, HOST, port, backlog=BACKLOG)
    announce(port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(port_argument()))
