"""MQTT for ``pub`` and ``sub``: the plan's flags as a login, and the client as they know it.

Next: `speedo_trio.cli.pubsub.run`.
"""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from speedo_trio.cli.pubsub.contract import Refused
from speedo_trio.cli.pubsub.mqtt_flags import (
    USER_PROPERTY,
    VERSIONS,
    MQTTPubFlags,
    MQTTSubFlags,
    parse_property,
    read_password,
)
from speedo_trio.mqtt.client.client import connect
from speedo_trio.mqtt.client.login import Login
from speedo_trio.mqtt.client.telling import words
from speedo_trio.mqtt.state.answers import REFUSED
from speedo_trio.mqtt.wire.packets import Will
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, AsyncIterator

    from speedo_trio.cli.pubsub.contract import Connection, Received
    from speedo_trio.cli.pubsub.mqtt_flags import MQTTFlags
    from speedo_trio.mqtt.client.client import MQTTClient

_VERSIONS = {
    "5.0": Version.MQTT_5_0,
    "3.1.1": Version.MQTT_3_1_1,
    "3.1": Version.MQTT_3_1,
}
_FOREVER = 0xFFFF_FFFF


class MQTTPubSubClient:
    """A client of MQTT that publishes and subscribes as the flags say."""

    def __init__(self, client: MQTTClient, qos: int, properties: Properties | None) -> None:
        self._client = client
        self._qos = qos
        self._properties = properties

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        reason = await self._client.publish(
            topic, payload, qos=self._qos, retain=retain, properties=self._properties
        )
        if reason >= REFUSED:
            raise Refused(f"the server refused the message: {words(reason)}")

    async def subscribe(self, *filters: str) -> None:
        reasons = await self._client.subscribe(*filters, qos=self._qos)
        for topic_filter, reason in zip(filters, reasons, strict=True):
            if reason >= REFUSED:
                raise Refused(f"the server refused the filter {topic_filter!r}: {words(reason)}")

    async def ping(self) -> None:
        await self._client.ping()

    def __aiter__(self) -> AsyncIterator[Received]:
        return self._client


@asynccontextmanager
async def connect_mqtt(
    plan: Connection, context: ssl.SSLContext | None
) -> AsyncGenerator[MQTTPubSubClient]:
    """Connect as the plan says.

    Raises:
        Mistake: the password's file can't be read.
        ConnectionClosed: it can't connect, or the server refused.
    """
    flags: MQTTFlags = plan  # type: ignore[assignment]  # a plan has them
    login = login_of(flags)
    properties = properties_of(flags) if isinstance(flags, MQTTPubFlags) else None
    async with connect(plan.url, login, ssl_context=context) as client:
        yield MQTTPubSubClient(client, flags.qos, properties)


def login_of(flags: MQTTFlags) -> Login:
    """Who connects.

    Raises:
        Mistake: the password's file can't be read.
    """
    version = _VERSIONS[VERSIONS[flags.protocol_version]]
    five = version is Version.MQTT_5_0
    stays = isinstance(flags, MQTTSubFlags) and flags.keep_session
    expiry = _FOREVER if not isinstance(flags, MQTTSubFlags) else flags.session_expiry
    return Login(
        # Before 5.0 a server need not choose one, and in 3.1 can't be asked to.
        client_id=flags.id or ("" if five else f"speedo-{secrets.token_hex(8)}"),
        version=version,
        clean_start=not stays,
        session_expiry=(_FOREVER if expiry is None else expiry) if stays and five else 0,
        keep_alive=flags.keep_alive,
        user_name=flags.user,
        password=read_password(flags),
        will=_will(flags),
    )


def _will(flags: MQTTFlags) -> Will | None:
    if flags.will_topic is None:
        return None
    payload = (flags.will_payload or "").encode("utf-8", "surrogateescape")
    return Will(flags.will_topic.encode(), payload, flags.will_qos, flags.will_retain)


def properties_of(flags: MQTTPubFlags) -> Properties | None:
    """The properties of what is published; None for none."""
    if not flags.property:
        return None
    user: list[tuple[str, str]] = []
    others: dict[str, Any] = {}  # Any: of the properties' own types
    for name, value in map(parse_property, flags.property):
        if name == USER_PROPERTY:
            assert isinstance(value, tuple)
            user.append(value)
        else:
            others[name.replace("-", "_")] = value
    if "correlation_data" in others:
        others["correlation_data"] = others["correlation_data"].encode("utf-8", "surrogateescape")
    return Properties(user=tuple(user), **others)
