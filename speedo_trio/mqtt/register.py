"""The register: the sessions of a service, and figures about them.

Next: `speedo_trio.mqtt.traffic`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from speedo_trio.mqtt.state.machine import Machine
from speedo_trio.mqtt.state.sessions import DUE, Sessions

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.state.journal import Journal
    from speedo_trio.mqtt.state.outside import Hub
    from speedo_trio.mqtt.state.session import Connected, Session
    from speedo_trio.mqtt.wire.packets import Will


class Host(Protocol):
    """Who runs a client's machine."""

    def admitted(self, session: Session, *, present: bool) -> None:
        """Its client was taken in, with this session, that was there or is new."""

    def abort(self) -> None:
        """End the connection without a word, as if the network had lost it."""


class Register(Sessions):
    """All sessions. Who runs a client's machine is told when the client is taken in."""

    def __init__(
        self,
        capabilities: Capabilities,
        hub: Hub,
        *,
        make: Callable[[str, Capabilities, Journal | None], Session],
    ) -> None:
        """Args: as for `Sessions`."""
        super().__init__(capabilities, hub, make=make)
        self.maximum: int = 0
        """The most clients that were connected at the same time."""
        self.connections: int = 0
        """How often a client was taken in."""
        self.expired: int = 0
        """Sessions that ended because their clients were away for too long."""

    @property
    def online(self) -> int:
        """Sessions whose clients are connected."""
        return len(self) - self.offline

    def connect(
        self,
        client: Connected,
        client_id: str,
        *,
        clean_start: bool,
        expiry: int,
        will: Will | None,
        now: float,
    ) -> tuple[Session, bool]:
        session, present = super().connect(
            client, client_id, clean_start=clean_start, expiry=expiry, will=will, now=now
        )
        self.connections += 1
        self.maximum = max(self.maximum, self.online)
        assert isinstance(client, Machine)
        cast("Host", client.outside).admitted(session, present=present)
        return session, present

    def due(self, now: float, most: int = DUE) -> int:
        before = len(self)
        done = super().due(now, most)
        self.expired += before - len(self)
        return done
