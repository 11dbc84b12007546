"""CONNECT, the packet that fixes the version: its bytes both ways (section 3.1).

Next: `speedo_trio.mqtt.wire.reader`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from speedo_trio.errors import MalformedPacket, MQTTError, UnsendablePacket
from speedo_trio.mqtt.wire.body import check_topic, shown
from speedo_trio.mqtt.wire.fields import (
    check_no_properties,
    check_qos,
    write_binary,
    write_text,
    write_topic,
    write_two_bytes,
)
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import Connect, Will
from speedo_trio.mqtt.wire.properties import WILL
from speedo_trio.mqtt.wire.property_list import decode_properties, encode_properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import BRIDGE_BIT, PROTOCOL_NAMES, Version

if TYPE_CHECKING:
    from speedo_trio.mqtt.wire.body import Body
    from speedo_trio.mqtt.wire.properties import Properties

_USER_NAME: Final = 0x80
_PASSWORD: Final = 0x40
_WILL_RETAIN: Final = 0x20
_WILL_QOS: Final = 0x18
_WILL: Final = 0x04
_CLEAN_START: Final = 0x02
_RESERVED: Final = 0x01

_VERSIONS: Final = {(name, int(version)): version for version, name in PROTOCOL_NAMES.items()}
_BRIDGES: Final = {
    (PROTOCOL_NAMES[version], version | BRIDGE_BIT): version
    for version in (Version.MQTT_3_1, Version.MQTT_3_1_1)
}


def read_level(body: Body) -> tuple[bytes, int]:
    """Read the protocol's name and level, with which CONNECT begins.

    Raises:
        MQTTError: 0x84, it is not a name of MQTT. Who sent it may not speak MQTT at all.
    """
    name = body.binary("protocol name")
    if name not in PROTOCOL_NAMES.values():  # [MQTT-3.1.2-1]
        raise MQTTError(
            f"the protocol name is {shown(name)}; allowed are MQTT and MQIsdp",
            ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
        )
    return name, body.byte("protocol level")


def version_of(name: bytes, level: int) -> Version:
    """Give the version of a name and level.

    Raises:
        MQTTError: 0x84, they are of none that is spoken here.
    """
    version = _VERSIONS.get((name, level)) or _BRIDGES.get((name, level))
    if version is None:  # [MQTT-3.1.2-2]
        raise MQTTError(
            f"the protocol level is {level} of {shown(name)}; allowed are 4 and 5 of MQTT, "
            "3 of MQIsdp",
            ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
        )
    return version


def decode_connect(body: Body, version: Version, *, bridge: bool = False) -> Connect:
    """Read what follows the level, in the order that it has to be in [MQTT-3.1.3-1].

    Raises:
        MalformedPacket: It can't be taken apart.
        MQTTError: It has what is not allowed.
    """
    flags = _read_flags(body, version)
    keep_alive = body.number("keep alive", 2)
    properties = None
    if version is Version.MQTT_5_0:
        properties = decode_properties(body, PacketType.CONNECT)
    client_id = body.text("client identifier")  # [MQTT-3.1.3-3] [MQTT-3.1.3-4]
    connect = Connect(
        client_id=client_id,
        version=version,
        clean_start=bool(flags & _CLEAN_START),
        keep_alive=keep_alive,
        will=_read_will(body, flags, version) if flags & _WILL else None,
        properties=properties,
        bridge=bridge,
    )
    # In 3.1 the packet may end before a user name and a password that are announced: "User name
    # and password" in its section 3.1.
    lenient = version is Version.MQTT_3_1
    if flags & _USER_NAME and (body.left or not lenient):  # [MQTT-3.1.2-17]
        connect.user_name = body.text("user name")  # [MQTT-3.1.3-12] [MQTT3-3.1.3-11]
    if flags & _PASSWORD and (body.left or not lenient):  # [MQTT-3.1.2-19]
        connect.password = body.binary("password")
    body.end()  # [MQTT-3.1.2-16] [MQTT-3.1.2-18]
    _check_authentication(properties)
    return connect


def _read_flags(body: Body, version: Version) -> int:
    """Read the byte of flags and see that they agree."""
    flags = body.byte("flags")
    if flags & _RESERVED:  # [MQTT-3.1.2-3]
        raise MalformedPacket(f"CONNECT has the flags 0x{flags:02X}; allowed is a bit 0 of 0")
    if flags & _WILL_QOS == _WILL_QOS:  # [MQTT-3.1.2-12] [MQTT3-3.1.2-14]
        raise MalformedPacket("the will has QoS 3; allowed are 0 to 2")
    if not flags & _WILL and flags & (_WILL_QOS | _WILL_RETAIN):
        # [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT3-3.1.2-15]
        raise MQTTError(
            f"CONNECT has the flags 0x{flags:02X}; without a will, QoS 0 and not to be retained "
            "is allowed",
            ReasonCode.PROTOCOL_ERROR,
        )
    if flags & _PASSWORD and not flags & _USER_NAME and version < Version.MQTT_5_0:
        # [MQTT3-3.1.2-22]
        raise MQTTError(
            "CONNECT has a password and no user name; that is allowed in MQTT 5.0 only",
            ReasonCode.PROTOCOL_ERROR,
        )
    return flags


def _read_will(body: Body, flags: int, version: Version) -> Will:
    """Read the fields of the will [MQTT-3.1.2-9]."""
    properties = decode_properties(body, WILL) if version is Version.MQTT_5_0 else None
    topic = body.binary("will topic")
    check_topic("will topic", topic)  # [MQTT-3.1.3-11] [MQTT3-3.1.3-10]
    return Will(
        topic=topic,
        payload=body.binary("will payload"),
        qos=(flags & _WILL_QOS) >> 3,
        retain=bool(flags & _WILL_RETAIN),
        properties=properties,
    )


def _check_authentication(properties: Properties | None) -> None:
    """See that there is a method where there is data (section 3.1.2.11.10)."""
    if properties is None or properties.authentication_data is None:
        return
    if properties.authentication_method is None:
        raise MQTTError(
            "CONNECT has authentication data; that is allowed with an authentication method",
            ReasonCode.PROTOCOL_ERROR,
        )


def encode_connect(connect: Connect) -> bytes:
    """Give the bytes after the fixed header.

    Raises:
        UnsendablePacket: They may not be sent.
    """
    version = connect.version
    _check_sendable(connect)
    name = PROTOCOL_NAMES[version]
    level = version | (BRIDGE_BIT if connect.bridge else 0)
    parts = [
        write_binary("protocol name", name),
        bytes((level, _flags_of(connect))),
        write_two_bytes("keep alive", connect.keep_alive),
    ]
    if version is Version.MQTT_5_0:
        parts.append(encode_properties(connect.properties, PacketType.CONNECT))
    parts.append(write_text("client identifier", connect.client_id))
    if connect.will is not None:
        parts += _will_parts(connect.will, version)
    if connect.user_name is not None:
        parts.append(write_text("user name", connect.user_name))
    if connect.password is not None:
        parts.append(write_binary("password", connect.password))
    return b"".join(parts)


def _check_sendable(connect: Connect) -> None:
    """What is about more than one field."""
    if connect.version is Version.MQTT_5_0:
        if connect.bridge:
            raise UnsendablePacket("CONNECT is a bridge's; that is allowed in MQTT 3.1 and 3.1.1")
    else:
        check_no_properties("CONNECT", connect.properties)
        if connect.password is not None and connect.user_name is None:
            raise UnsendablePacket(  # [MQTT3-3.1.2-22]
                "CONNECT has a password and no user name; that is allowed in MQTT 5.0 only"
            )
    try:
        _check_authentication(connect.properties)
    except MQTTError as error:
        raise UnsendablePacket(str(error)) from None


def _flags_of(connect: Connect) -> int:
    flags = _CLEAN_START if connect.clean_start else 0
    if connect.will is not None:
        flags |= _WILL | check_qos(connect.will.qos) << 3
        flags |= _WILL_RETAIN if connect.will.retain else 0
    flags |= _USER_NAME if connect.user_name is not None else 0
    return flags | (_PASSWORD if connect.password is not None else 0)


def _will_parts(will: Will, version: Version) -> list[bytes]:
    parts = [write_topic("will topic", will.topic), write_binary("will payload", will.payload)]
    if version is Version.MQTT_5_0:
        return [encode_properties(will.properties, WILL), *parts]
    check_no_properties("the will", will.properties)
    return parts
