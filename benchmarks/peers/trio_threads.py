"""Echo on plain `trio.serve_tcp` with one `trio.to_thread.run_sync` a line.

What one writes from Trio's documentation when messages may block. A connection's task waits
for each line, which keeps the order.
"""

from __future__ import annotations

from functools import partial

import trio

from benchmarks.peers.terms import BACKLOG, HOST, announce, execute, port_argument


async def echo(stream: trio.SocketStream) -> None:
    """Answer each line from a thread; Trio closes the stream afterwards."""
    rest = b""
    try:
        async for chunk in stream:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                await stream.send_all(await trio.to_thread.run_sync(execute, line))
    except trio.BrokenResourceError:
        pass  # the client went away; uncaught, it would end the whole server


async def serve(port: int) -> None:
    """Serve until the process ends."""
    listen = partial(trio.serve_tcp, echo, port, host=HOST, backlog=BACKLOG)
    async with trio.open_nursery() as nursery:
        await nursery.start(listen)
        announce(port)


if __name__ == "__main__":
    trio.run(serve, port_argument())
