"""Reads of a connection that wait in its lane, and what waits there with them.

Next: `speedo_trio.mqtt.handler`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import define

from speedo_trio.protocol.message import Message

if TYPE_CHECKING:
    from speedo_trio.mqtt.state.asks import Outcome


class Reading(Protocol):
    """A connection whose reads wait: a `speedo_trio.mqtt.handler.MQTTHandler`."""

    async def settled(self) -> None:
        """Wait until nothing waits that has been read."""

    async def receive_later(self, data: bytes) -> Outcome:
        """Do what bytes ask for, when nothing waits any more that came before."""

    async def finish(self, outcome: Outcome) -> None:
        """Go on until nothing is left to do."""

    async def slow_down(self) -> None:
        """Wait until the client is no more ahead of what it may publish."""

    async def room(self) -> None:
        """Wait until nothing waits to be sent to the client."""

    def say_goodbye(self) -> None:
        """The server shuts down."""


@define(eq=False)
class Rest(Message):
    """A read that had to wait, or what is left of one."""

    handler: Reading
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

    handler: Reading

    async def execute(self) -> None:
        """Raises nothing."""
        await self.handler.slow_down()


@define(eq=False)
class Settled(Message):
    """The peer sends no more: what it has sent is done before the connection ends."""

    handler: Reading

    async def execute(self) -> None:
        """Raises nothing."""
        await self.handler.settled()


@define(eq=False)
class Farewell(Message):
    """The server drains: what waits is sent, then the client is told."""

    handler: Reading

    async def execute(self) -> None:
        """[MQTT-3.14.0-1] is kept by `speedo_trio.mqtt.state.client`."""
        await self.handler.settled()
        await self.handler.room()
        self.handler.say_goodbye()
