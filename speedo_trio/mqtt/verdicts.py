"""Verdicts: what a hook may answer beside True and False.

Next: `speedo_trio.mqtt.events`.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import Attribute, field, frozen

from speedo_trio.errors import ConfigError
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.pubsub.bounds import bound

_LEAST: Final = 0x80


def _refusing(owner: object, attribute: Attribute[Any], value: object) -> None:  # Any: of a reason
    if not isinstance(value, ReasonCode) or value < _LEAST:
        raise ConfigError(f"reason is {value!r}; allowed is a ReasonCode of 0x80 or above")


@frozen
class Refused:
    """No, and why. A reason that the answer can't carry becomes 0x80, Unspecified Error.

    Raises:
        ConfigError: The reason is none for a refusal.
    """

    reason: ReasonCode = field(default=ReasonCode.NOT_AUTHORIZED, validator=_refusing)
    text: str = ""
    """Told to the client, if it speaks 5.0 and wants to know."""
    server_reference: str | None = None
    """Where it is to go: for USE_ANOTHER_SERVER and SERVER_MOVED."""


@frozen(kw_only=True)
class Accepted:
    """Yes to a client, and who it is."""

    identity: object = None
    """Later requests have it as ``client.identity``: a name, roles, a record of a database."""
    until: float | None = None
    """When its connection ends, in seconds as `time.time` counts them, with 0xA0, Maximum connect
    time; None: never for this."""
    data: bytes | None = field(default=None, repr=False)
    """For the last step of an authentication in steps: what the client is told."""


@frozen(kw_only=True)
class Grant:
    """Yes to a subscription, with this QoS at most.

    Raises:
        ConfigError: It is none.
    """

    qos: int = field(validator=bound(0, 2))
