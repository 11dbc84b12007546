"""Echo on asyncio streams: the `readline`, `write`, `drain` of the asyncio documentation."""

from __future__ import annotations

import asyncio

from benchmarks.peers.terms import BACKLOG, HOST, announce, execute, port_argument


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line with itself until the client ends."""
    try:
        while line := await reader.readline():
            writer.write(execute(line.removesuffix(b"\n")))
            await writer.drain()
    except ConnectionError:
        pass  # the client went away
    finally:
        writer.close()


async def serve(port: int) -> None:
    """Serve until the process ends."""
    server = await asyncio.start_server(echo, HOST, port, backlog=BACKLOG)
    announce(port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(port_argument()))
