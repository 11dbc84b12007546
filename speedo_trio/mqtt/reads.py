"""Reads of a connection that wait in its lane, and what waits there with them.

Next: `speedo_trio.mqtt.handler`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from speedo_trio.protocol.message import Message

if TYPE_CHECKING:
    from speedo_trio.mqtt.handler import MQTTHandler
    from speedo_trio.mqtt.state.asks import Outcome


@define(eq=False)
class Rest(Message):
    """A read that had to wait, or what is left of one."""

    handler: MQTTHandler
    data: bytes
    outcome: Outcome = None

    async def execute(self) -> None:
        """Raises MQTTError: What ends the connection; the client has been told."""
        handler, outcome = self.handler, self.outcome
        if self.data:
            outcome = await handler.receive_later(self.data)
        await handler.finish(outcome)


@define(eq=False)
class Slow(Message):
    """The client publishes faster than it may: later reads wait."""

    handler: MQTTHandler

    async def execute(self) -> None:
        """Raises nothing."""
        await self.handler.slow_down()


@define(eq=False)
class Settled(Message):
    """The peer sends no more: what it has sent is done before the connection ends."""

    handler: MQTTHandler

    async def execute(self) -> None:
        """Raises nothing."""
        await self.handler.settled()


@define(eq=False)
class Farewell(Message):
    """The server drains: what waits is sent, then the client is told."""

    handler: MQTTHandler

    async def execute(self) -> None:
        """[MQTT-3.14.0-1] is kept by `speedo_trio.mqtt.state.client`."""
        await self.handler.settled()
        await self.handler.room()
        self.handler.say_goodbye()
