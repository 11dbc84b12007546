"""What a server says with reason codes, in words.

Next: `speedo_trio.mqtt.client.dialogue`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speedo_trio.mqtt.wire.properties import Properties
    from speedo_trio.mqtt.wire.reason_codes import ReasonCode


def words(reason: ReasonCode) -> str:
    """``not authorized``; nothing for success."""
    return "" if not reason else reason.name.replace("_", " ").lower()


def told(properties: Properties | None) -> str:
    """What the server said beside a reason code; empty: nothing."""
    return (properties.reason_string or "") if properties is not None else ""


def refused(what: str, reason: ReasonCode, properties: Properties) -> str:
    """What happened, and why: ``the server refused: not authorized: you are a stranger``."""
    parts = [what, words(reason), told(properties)]
    if properties.server_reference is not None:
        parts.append(f"another server is {properties.server_reference}")
    return ": ".join(filter(None, parts))
