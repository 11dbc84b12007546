"""Echo on an asyncio `Protocol`: no threads, one `transport.write` a line.

The fastest way that asyncio itself documents. Replies are computed in the event loop, so a
message that blocks would block every client; that is what the thread peers pay to avoid.
"""

from __future__ import annotations

import asyncio
from typing import cast

from benchmarks.peers.terms import BACKLOG, HOST, announce, execute, port_argument


class EchoProtocol(asyncio.Protocol):
    """Answer each line with itself; stop reading while the client doesn't read."""

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not an assertion: uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._transport.write(execute(line))

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()


async def serve(port: int, protocol: type[EchoProtocol] = EchoProtocol) -> None:
    """Serve until the process ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, HOST, port, backlog=BACKLOG)
    announce(port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(port_argument()))
