"""Flights: how far a message with QoS 1 or 2 has come on its way to a client, as tables.

A message is sent as PUBLISH. With QoS 1 its way ends with PUBACK. With QoS 2, PUBREC says that the
client has it: the message can be forgotten, the packet identifier is *released* by PUBREL, and its
way ends with PUBCOMP. A refusal (a reason code of 0x80 or above) in PUBACK or PUBREC ends it too.

    PUBLISH, QoS 1 ──PUBACK──────────────────────▶ done
    PUBLISH, QoS 2 ──PUBREC──▶ released ──PUBCOMP──▶ done

Next: `speedo_trio.mqtt.state.backlog`.
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from typing import Final, TypeAlias

from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.pubsub.publication import Publication

Message: TypeAlias = tuple[Publication, int, bool, tuple[int, ...], bytes | None, int]
"""What goes to one client: the publication, the QoS, RETAIN, the subscription identifiers, the
filter of the shared subscription that it comes by, if it does, and the row of the session's
`Journal`; 0: it has none. A plain tuple: one is made for each delivery."""


class Progress(IntEnum):
    """How far the message of a packet identifier has come."""

    UNKNOWN = 0
    """None has this identifier. After a session was lost a client may well speak of one."""
    QOS_1 = 1
    QOS_2 = 2
    RELEASED = 3
    """PUBREC has come."""


class Step(Enum):
    """What an acknowledgement makes of it."""

    DONE = auto()
    """Its way has ended; the identifier is free."""
    RELEASE = auto()
    """The message can be forgotten; send PUBREL."""
    AGAIN = auto()
    """Send PUBREL again."""
    NOT_FOUND = auto()
    """Send PUBREL that says that there is no such identifier."""
    IGNORE = auto()
    """Nothing."""
    WRONG = auto()
    """A protocol error: it is no answer to what was sent."""


# By the progress:             unknown         QoS 1        QoS 2        released
_PUBACK: Final = (Step.IGNORE, Step.DONE, Step.WRONG, Step.WRONG)
_PUBREC: Final = (Step.NOT_FOUND, Step.WRONG, Step.RELEASE, Step.AGAIN)
_PUBREC_REFUSED: Final = (Step.IGNORE, Step.WRONG, Step.DONE, Step.IGNORE)
_PUBCOMP: Final = (Step.IGNORE, Step.WRONG, Step.WRONG, Step.DONE)

STEPS: Final[dict[tuple[PacketType, bool], tuple[Step, Step, Step, Step]]] = {
    (PacketType.PUBACK, False): _PUBACK,  # [MQTT-4.3.2-3]
    (PacketType.PUBACK, True): _PUBACK,  # [MQTT-4.4.0-2] [MQTT-4.8.2-6]
    (PacketType.PUBREC, False): _PUBREC,  # [MQTT-4.3.3-3] [MQTT-4.3.3-4]
    (PacketType.PUBREC, True): _PUBREC_REFUSED,  # [MQTT-4.4.0-2] [MQTT-4.8.2-6]
    (PacketType.PUBCOMP, False): _PUBCOMP,  # [MQTT-4.3.3-5]
    (PacketType.PUBCOMP, True): _PUBCOMP,
}
"""The step for an acknowledgement, refusing or not, by the `Progress` of its identifier."""
