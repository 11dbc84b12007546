"""The types of MQTT packets, by the number in the first half of their first byte.

Next: `speedo_trio.mqtt.wire.reason_codes`.
"""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class PacketType(IntEnum):
    """A type of packet (section 2.1.2). 0 is reserved; 15 is too before MQTT 5.0."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15
