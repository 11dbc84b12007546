"""The broker of moat-lib-mqtt, on Trio."""

from __future__ import annotations

import anyio
from moat.lib.mqtt.async_broker import AsyncMQTTBroker

from benchmarks.peers.terms import HOST, port_argument

if __name__ == "__main__":
    anyio.run(AsyncMQTTBroker((HOST, port_argument())).serve, backend="trio")
