"""The very protocol of `asyncio_protocol.py`, on uvloop's event loop.

Only the loop differs: uvloop 0.23, too, hands each write to the kernel at once (seen with
strace: one `write` a line).
"""

from __future__ import annotations

import uvloop

from benchmarks.peers.asyncio_protocol import serve
from benchmarks.peers.terms import port_argument

if __name__ == "__main__":
    uvloop.run(serve(port_argument()))
