"""iotcore's broker: rumqttd, in Rust, inside a Python process.

Its bounds are raised as far as the benchmarks need: by default it takes 20 KiB in a message.
"""

from __future__ import annotations

import logging

from iotcore import IotCoreBroker

from benchmarks.peers.terms import HOST, port_argument

MOST_CONNECTIONS = 100_000
MOST_PAYLOAD_BYTES = 1 << 20

if __name__ == "__main__":
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)  # as iotcore's own command does
    broker = IotCoreBroker(
        listen=HOST,
        port=port_argument(),
        max_connections=MOST_CONNECTIONS,
        max_payload_size=MOST_PAYLOAD_BYTES,
    )
    broker.run_forever()
