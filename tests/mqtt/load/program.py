"""A broker in a process of its own, so that its memory can be seen.

``python program.py CAPABILITIES``: in JSON. It prints its port and serves until it is killed.
"""

from __future__ import annotations

import json
import sys

import trio

from speedo_trio.mqtt.embedding import MQTTServer, serve_mqtt
from speedo_trio.mqtt.state.capabilities import Capabilities


async def main(capabilities: Capabilities) -> None:
    """Serve until killed."""
    async with trio.open_nursery() as nursery:

        async def start(task_status: trio.TaskStatus[MQTTServer]) -> None:
            await serve_mqtt(
                "tcp://127.0.0.1:0",
                capabilities=capabilities,
                sys_interval=0,
                task_status=task_status,
            )

        server: MQTTServer = await nursery.start(start)
        sys.stdout.write(f"{server.server.addresses[0].port}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    trio.run(main, Capabilities(**json.loads(sys.argv[1])))
