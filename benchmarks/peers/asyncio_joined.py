"""Echo on an asyncio `Protocol` that joins the replies of each chunk into one write.

The most that pure asyncio gives when nothing blocks: `asyncio_protocol.py` without its system
call per line. It shows how much of a ratio is joined writes and how much is the rest.
"""

from __future__ import annotations

import asyncio

from benchmarks.peers.asyncio_protocol import EchoProtocol, serve
from benchmarks.peers.terms import execute, port_argument


class JoinedEchoProtocol(EchoProtocol):
    """Answer all whole lines of a chunk with one write."""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._transport.write(b"".join(map(execute, lines)))


if __name__ == "__main__":
    asyncio.run(serve(port_argument(), JoinedEchoProtocol))
