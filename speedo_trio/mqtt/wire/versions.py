"""The versions of MQTT that are spoken here.

Next: `speedo_trio.mqtt.wire.reason_codes`.
"""

from __future__ import annotations

from enum import IntEnum, unique
from typing import Final


@unique
class Version(IntEnum):
    """A version of MQTT, by the protocol level that CONNECT carries [MQTT-3.1.2-2]."""

    MQTT_3_1 = 3
    MQTT_3_1_1 = 4
    MQTT_5_0 = 5


PROTOCOL_NAMES: Final = {
    Version.MQTT_3_1: b"MQIsdp",
    Version.MQTT_3_1_1: b"MQTT",
    Version.MQTT_5_0: b"MQTT",
}
"""The protocol name that goes with each level in CONNECT [MQTT-3.1.2-1]."""

BRIDGE_BIT: Final = 0x80
"""Set in the level of 3.1 and 3.1.1 by bridges of mosquitto (`try_private`); no standard has it."""
