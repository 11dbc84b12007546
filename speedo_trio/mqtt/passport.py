"""A passport: who a client is, as a text that a store keeps while the client is away.

Next: `speedo_trio.mqtt.caretaker`.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from attrs import astuple

from speedo_trio.events import Address
from speedo_trio.mqtt.requests import ClientInfo
from speedo_trio.mqtt.security.user import Proof, User
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    from collections.abc import Mapping

_logger = logging.getLogger("speedo_trio.mqtt")


def issue(client: ClientInfo) -> str | None:
    """The passport of a client; None: its identity is nothing that can be written down.

    That can be a `User` without rights of its own, and what JSON can tell: texts, numbers, lists
    and dictionaries of these. TLS, WebSocket and proxy are of the connection, and left out.
    """
    told = {
        "user_name": client.user_name,
        "version": client.version.value,
        "peer": astuple(client.peer),
        "local": astuple(client.local),
    }
    identity = client.identity
    if isinstance(identity, User):
        if identity.rights is not None:
            return None
        return json.dumps({**told, "user": [identity.name, identity.proof.value]})
    return _written(told, identity)


def _written(told: Mapping[str, object], identity: object) -> str | None:
    try:
        passport = json.dumps({**told, "identity": identity})
    except (TypeError, ValueError, RecursionError):
        return None
    return passport if json.loads(passport)["identity"] == identity else None


def read(client_id: str, passport: str) -> ClientInfo | None:
    """Who a session's client was; None: the passport can't be read.

    Its connection has the number 0.
    """
    try:
        told = json.loads(passport)
        return ClientInfo(
            client_id=client_id,
            user_name=told["user_name"],
            identity=_identity(told),
            version=Version(told["version"]),
            connection=0,
            peer=Address(*told["peer"]),
            local=Address(*told["local"]),
            tls=None,
            websocket=None,
            proxy=None,
        )
    except (ValueError, TypeError, LookupError) as error:
        _logger.warning("nobody knows who client %r was: %s", client_id, error)
        return None


def _identity(told: dict[str, Any]) -> object:  # Any: from JSON
    if "user" not in told:
        return told["identity"]
    name, proof = told["user"]
    return User(name, Proof(proof))
