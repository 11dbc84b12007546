"""Accounts of a link: what observers and statistics tell of it.

Next: `speedo_trio.link`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from speedo_trio.events import ConnectionEnded, ConnectionOpened
from speedo_trio.stats import ConnectionStats

if TYPE_CHECKING:
    from speedo_trio.events import CloseReason
    from speedo_trio.house import Resident
    from speedo_trio.io.connection import WireConnection


def opened(connection: WireConnection) -> ConnectionOpened:
    """The account of a beginning: who it is."""
    return ConnectionOpened(
        connection=connection.id,
        peer=connection.peer,
        local=connection.local,
        tls=connection.tls,
        websocket=connection.websocket,
        proxy=connection.proxy,
    )


def ended(link: Resident, reason: CloseReason) -> ConnectionEnded:
    """The account of an end: what it did."""
    connection = link.connection
    return ConnectionEnded(
        connection=connection.id,
        peer=connection.peer,
        reason=reason,
        received=link.received,
        sent=connection.sent,
        messages=link.lane.executed,
        seconds=trio.current_time() - link.began,
    )


def statistics(link: Resident) -> ConnectionStats:
    """A snapshot of what it is doing."""
    connection = link.connection
    return ConnectionStats(
        id=connection.id,
        peer=connection.peer,
        local=connection.local,
        tls=connection.tls,
        websocket=connection.websocket,
        proxy=connection.proxy,
        seconds=trio.current_time() - link.began,
        received=link.received,
        sent=connection.sent,
        executed=link.lane.executed,
        waiting=link.lane.waiting,
        unsent=connection.unsent,
    )
