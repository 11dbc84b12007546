"""What a session is doing, as a snapshot.

Next: `speedo_trio.mqtt.service`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from attrs import frozen

if TYPE_CHECKING:
    from speedo_trio.mqtt.state.session import Session


@frozen(kw_only=True)
class SessionStats:
    """A client's session at one moment."""

    client_id: str
    connected: bool
    """Whether the client is there; else the session waits for it to come back."""
    filters: tuple[str, ...]
    """What it is subscribed to."""
    waiting: int
    """Messages with QoS 1 or 2 that wait to be sent."""
    inflight: int
    """Messages with QoS 1 or 2 that were sent, and are not acknowledged yet."""
    dropped: int
    """Messages for which its queue had no room."""

    @classmethod
    def of(cls, session: Session) -> Self:
        """Take it."""
        outgoing = session.outgoing
        return cls(
            client_id=session.client_id,
            connected=session.client is not None,
            filters=tuple(each.decode() for each in session.subscriptions),
            waiting=outgoing.waiting,
            inflight=outgoing.inflight,
            dropped=outgoing.dropped,
        )
