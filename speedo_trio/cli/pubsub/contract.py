"""The contract: what a protocol's client must do for ``pub`` and ``sub``.

Next: `speedo_trio.cli.pubsub.schemes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from speedo_trio.errors import SpeedoError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    Connect: TypeAlias = Callable[
        ["Connection", ssl.SSLContext | None], AbstractAsyncContextManager["PubSubClient"]
    ]


class Refused(SpeedoError):
    """The server has refused what was asked for; the connection goes on."""


class Connection(Protocol):
    """What a plan says of the connection; a protocol may look at flags of its own too."""

    @property
    def url(self) -> str:
        """The server."""


class Received(Protocol):
    """A message that a subscriber got."""

    @property
    def topic(self) -> str:
        """What it was published under."""

    @property
    def payload(self) -> bytes:
        """Its body."""

    @property
    def retain(self) -> bool:
        """Whether it was kept from before the subscription."""


class PubSubClient(Protocol):
    """A connected client, whatever its protocol is.

    What ends the connection is a `speedo_trio.ConnectionClosed` or `speedo_trio.ProtocolError`,
    in all calls and in the iteration. Calls may also raise `Refused`.
    """

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Hand a message to the network. A topic that is not allowed raises `TopicError`."""

    async def subscribe(self, *filters: str) -> None:
        """Return when the server has subscribed to the filters, or raise as `publish`."""

    async def ping(self) -> None:
        """Return when the server has done all that was sent before."""

    def __aiter__(self) -> AsyncIterator[Received]:
        """Give the messages that come, and then raise what ended the connection."""
