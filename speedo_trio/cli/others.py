"""The others: protocols that are served beside the first one, in the same process.

Next: `speedo_trio.cli.run`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from speedo_trio.cli.brokers import successor
from speedo_trio.server import serve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from speedo_trio.config import Config
    from speedo_trio.events import DrainReport, Observer, Reconfigured
    from speedo_trio.protocol.handler import ProtocolHandlerFactory
    from speedo_trio.server import Server


@define(eq=False)
class Other:
    """One protocol, and its server when it runs."""

    name: str
    binds: tuple[str, ...]
    factory: ProtocolHandlerFactory
    observe: Observer
    server: Server | None = field(default=None, init=False)


class Others:
    """All of them. Each has a server of its own, with the same settings."""

    def __init__(self, others: Iterable[Other] = ()) -> None:
        self._others = tuple(others)

    def __len__(self) -> int:
        return len(self._others)

    async def start(self, nursery: trio.Nursery, config: Config) -> None:
        """Serve them.

        Raises:
            BindError: an address can't be listened on. Some may be served then; cancel the nursery.
        """
        for other in self._others:
            start = partial(
                serve, other.factory, *other.binds, config=config, observer=other.observe
            )
            other.server = await nursery.start(start)

    @property
    def factories(self) -> list[ProtocolHandlerFactory]:
        """Those that are served."""
        return [other.factory for other in self._others]

    @property
    def connections(self) -> int:
        """Those that are open."""
        return sum(len(server.connections) for server in self._servers)

    @property
    def dropped(self) -> int:
        """Messages that were dropped so far."""
        return sum(server.stats().dropped for server in self._servers)

    async def drain(self, first: Server) -> list[DrainReport]:
        """End all of them in good order at the same time, and `first` with them."""
        reports: list[DrainReport] = []

        async def drain(server: Server) -> None:
            reports.append(await server.drain())

        async with trio.open_nursery() as nursery:
            for server in (first, *self._servers):
                nursery.start_soon(drain, server)
        return reports

    def reconfigure(
        self, config: Config, factories: Sequence[ProtocolHandlerFactory]
    ) -> list[Reconfigured]:
        """Give new settings to those that run.

        Args:
            factories: one for each, as the settings ask for; none: they stay.

        Raises:
            BindError: a certificate can't be used. Those before have the new settings then.
        """
        events: list[Reconfigured] = []
        for index, other in enumerate(self._others):
            if other.server is not None:
                factory = other.factory
                if factories:
                    factory = successor(factory, factories[index])
                events.append(other.server.reconfigure(config=config, factory=factory))
                other.factory = factory
        return events

    @property
    def _servers(self) -> list[Server]:
        return [other.server for other in self._others if other.server is not None]
