"""What the tests of a store share: a server that has one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from speedo_trio.events import Event
from speedo_trio.mqtt import Capabilities, Hooks, MQTTServer, Store, serve_mqtt
from speedo_trio.mqtt.hooks import NO_HOOKS


@asynccontextmanager
async def serving(
    store: Store,
    capabilities: Capabilities | None = None,
    events: list[Event] | None = None,
    hooks: Hooks = NO_HOOKS,
) -> AsyncIterator[MQTTServer]:
    """A server with a store. At the end it is drained, and the store closed."""
    observer = None if events is None else events.append
    async with trio.open_nursery() as nursery:

        async def serve(task_status: trio.TaskStatus[MQTTServer]) -> None:
            await serve_mqtt(
                "tcp://127.0.0.1:0",
                store=store,
                capabilities=capabilities,
                hooks=hooks,
                sys_interval=0,
                observer=observer,
                task_status=task_status,
            )

        server: MQTTServer = await nursery.start(serve)
        yield server
        await server.drain(1)
