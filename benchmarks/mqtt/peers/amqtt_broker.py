"""amqtt's broker, with the plugins that it has by default."""

from __future__ import annotations

import asyncio

from amqtt.broker import Broker

from benchmarks.peers.terms import HOST, announce, port_argument


async def serve(port: int) -> None:
    """Serve until the process ends."""
    broker = Broker({"listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}}})
    await broker.start()
    announce(port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(port_argument()))
