"""Events: what has happened, as an observing hook is told.

Next: `speedo_trio.mqtt.hooks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

if TYPE_CHECKING:
    from speedo_trio.mqtt.requests import ClientInfo
    from speedo_trio.mqtt.wire.reason_codes import ReasonCode


@frozen(kw_only=True)
class ClientConnected:
    """A client was taken in."""

    client: ClientInfo
    session_present: bool
    """Whether it goes on with the session that it had."""


@frozen(kw_only=True)
class ClientRefused:
    """A client sent a CONNECT and was not taken in."""

    client: ClientInfo
    reason: ReasonCode | None
    """What it was told; None: it went before it could be told."""
    text: str


@frozen(kw_only=True)
class ClientDisconnected:
    """The connection of a client that was taken in has ended."""

    client: ClientInfo
    reason: ReasonCode | None
    """Below 0x80: the client's, with its DISCONNECT. Else the server's, which ended it. None: it
    ended without a word."""
    text: str
    """More about it, or nothing."""


@frozen(kw_only=True)
class SessionEnded:
    """A session is no more, and its subscriptions with it."""

    client_id: str


@frozen(kw_only=True)
class Subscribed:
    """A client has subscribed, or has changed the options of a subscription."""

    client: ClientInfo
    topic_filter: str
    """With ``$share/group/``, if it is shared."""
    qos: int
    """What it was granted."""


@frozen(kw_only=True)
class Unsubscribed:
    """A client has unsubscribed. The end of its session is told as `SessionEnded` only."""

    client: ClientInfo
    topic_filter: str


@frozen(kw_only=True)
class HookFailed:
    """A hook raised, took too long or gave what is no answer; the request was refused."""

    hook: str
    """Its name in `Hooks`."""
    client: ClientInfo
    error: Exception


@frozen(kw_only=True)
class EventsMissed:
    """The hook that observes is too slow: there was no room for this many events, before this."""

    count: int


MQTTEvent: TypeAlias = (
    ClientConnected
    | ClientRefused
    | ClientDisconnected
    | SessionEnded
    | Subscribed
    | Unsubscribed
    | HookFailed
    | EventsMissed
)
"""What an observing hook is told."""
