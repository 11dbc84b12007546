"""The handshake: what of a CONNECT the server refuses, and what its CONNACK tells.

Next: `speedo_trio.mqtt.state.machine`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from speedo_trio.errors import MQTTError
from speedo_trio.mqtt.state.capabilities import NEVER
from speedo_trio.mqtt.state.outgoing import MOST_IDS, Receiver
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import MOST_PACKET_BYTES
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.wire.packets import Connect, Will

LONGEST_3_1: Final = 23
"""Characters of a client identifier in MQTT 3.1."""


def check_connect(connect: Connect, capabilities: Capabilities) -> None:
    """See that the server takes a CONNECT, whoever sent it.

    Raises:
        MQTTError: It doesn't.
    """
    if connect.version not in capabilities.spoken:
        raise MQTTError(
            f"the version is {connect.version.name}; allowed are "
            + ", ".join(each.name for each in sorted(capabilities.spoken)),
            ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
        )
    _check_client_id(connect, capabilities)
    if connect.will is not None:
        _check_will(connect.will, capabilities)


def _check_client_id(connect: Connect, capabilities: Capabilities) -> None:
    client_id, version = connect.client_id, connect.version
    size = len(client_id.encode())
    if size > capabilities.maximum_client_id_size:  # [MQTT-3.1.3-5] [MQTT-3.1.3-8]
        raise _no_client_id(f"has {size} bytes; allowed are {capabilities.maximum_client_id_size}")
    if version is Version.MQTT_3_1 and not 1 <= len(client_id) <= LONGEST_3_1:
        # [MQTT3-3.1.3-9]
        raise _no_client_id(f"has {len(client_id)} characters; allowed are 1 to {LONGEST_3_1}")
    if client_id:
        return
    if not capabilities.assign_client_ids:
        raise _no_client_id("is empty; allowed is one that the client chose")
    if version is Version.MQTT_3_1_1 and not connect.clean_start:  # [MQTT3-3.1.3-8]
        raise _no_client_id("is empty; that is allowed with a clean session")


def _no_client_id(wrong: str) -> MQTTError:
    return MQTTError(f"the client identifier {wrong}", ReasonCode.CLIENT_IDENTIFIER_NOT_VALID)


def _check_will(will: Will, capabilities: Capabilities) -> None:
    if will.qos > capabilities.maximum_qos:  # [MQTT-3.2.2-12]
        raise MQTTError(
            f"the will has QoS {will.qos}; allowed is {capabilities.maximum_qos} at most",
            ReasonCode.QOS_NOT_SUPPORTED,
        )
    if will.retain and not capabilities.retain_available:  # [MQTT-3.2.2-13]
        raise MQTTError(
            "the will is to be retained; allowed is one that is not",
            ReasonCode.RETAIN_NOT_SUPPORTED,
        )


def expiry_asked(connect: Connect) -> int:
    """The session expiry interval that a client asks for, in seconds."""
    if connect.version is not Version.MQTT_5_0:  # [MQTT3-3.1.2-4] [MQTT3-3.1.2-6]
        return 0 if connect.clean_start else NEVER
    properties = connect.properties
    return 0 if properties is None else properties.session_expiry_interval or 0


def keep_alive(connect: Connect, capabilities: Capabilities) -> int:
    """The seconds to watch for [MQTT-3.2.2-22]. Clients before 5.0 can't be told others."""
    told = capabilities.server_keep_alive
    five = connect.version is Version.MQTT_5_0
    return connect.keep_alive if told is None or not five else told


def receiver(connect: Connect, capabilities: Capabilities) -> Receiver:
    """What the client takes."""
    properties = connect.properties or Properties()
    aliases = properties.topic_alias_maximum or 0
    return Receiver(
        version=connect.version,
        receive_maximum=properties.receive_maximum or MOST_IDS,
        maximum_packet_size=properties.maximum_packet_size or MOST_PACKET_BYTES,
        topic_alias_maximum=min(aliases, capabilities.topic_aliases_sent),
    )


def welcome(
    connect: Connect,
    capabilities: Capabilities,
    *,
    client_id: str,
    expiry: int,
    data: bytes | None,
) -> Properties | None:
    """What the CONNACK of an accepted client tells: where the server differs from the default.

    Args:
        client_id: The client identifier; told if the server chose it.
        expiry: The session expiry interval that holds; told if it isn't what was asked for.
        data: Of the last step of an authentication.
    """
    if connect.version is not Version.MQTT_5_0:
        return None
    own = capabilities
    method = None if connect.properties is None else connect.properties.authentication_method
    return Properties(
        session_expiry_interval=None if expiry == expiry_asked(connect) else expiry,
        receive_maximum=_unless(own.receive_maximum, MOST_IDS),
        maximum_qos=_unless(own.maximum_qos, 2),  # [MQTT-3.2.2-9]
        retain_available=None if own.retain_available else False,
        maximum_packet_size=own.maximum_packet_size,
        assigned_client_identifier=None if connect.client_id else client_id,  # [MQTT-3.1.3-7]
        topic_alias_maximum=_unless(own.topic_alias_maximum, 0),
        wildcard_subscription_available=None if own.wildcard_subscriptions else False,
        subscription_identifier_available=None if own.subscription_identifiers else False,
        shared_subscription_available=None if own.shared_subscriptions else False,
        server_keep_alive=own.server_keep_alive,
        authentication_method=method,  # [MQTT-4.12.0-5] [MQTT-4.12.0-6]
        authentication_data=None if method is None else data,
    )


def _unless(value: int, default: int) -> int | None:
    return None if value == default else value
