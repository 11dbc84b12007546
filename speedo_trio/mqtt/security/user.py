"""A user: who a client was found to be, whatever it says of itself.

Next: `speedo_trio.mqtt.security.certificate`.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from speedo_trio.mqtt.hooks import TopicRights
    from speedo_trio.mqtt.requests import ClientInfo


class Proof(Enum):
    """What a client has shown."""

    NOTHING = "nothing"
    """Its user name, if it has one, is what it says."""
    PASSWORD = "password"  # noqa: S105  # a kind of proof
    CERTIFICATE = "certificate"
    TOKEN = "token"  # noqa: S105  # the same


@frozen
class User:
    """Who it is, as `ClientInfo.identity`."""

    name: str | None
    """None: somebody who needs no name."""
    proof: Proof = Proof.NOTHING
    """What it has shown for it."""
    rights: TopicRights | None = None
    """What it may do beside what others decide, as a token may tell; None: nothing is told."""
    key: bytes | None = None
    """The fingerprint of the key that its token was signed with; None without one."""


def name_of(client: ClientInfo) -> str | None:
    """The user name that was found out, or else the one that the client gave."""
    identity = client.identity
    return identity.name if isinstance(identity, User) else client.user_name
