"""Rows: records as the tables of SQLite have them, which knows no booleans.

Next: `speedo_trio.mqtt.store.sqlite`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from speedo_trio.mqtt.store.convert import message_record
from speedo_trio.mqtt.store.records import RETAIN, MessageRecord, SessionRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from speedo_trio.mqtt.state.publication import MQTTPublication

MESSAGE: Final = "number, topic, payload, message.flags, properties, received, expires"
"""The columns of a message that waits."""
RETAINED: Final = "topic, payload, qos, properties, origin, received, expires"
"""The columns of a message that is retained."""


def session_row(record: SessionRecord) -> tuple[object, ...]:
    """The row of a session."""
    number, client_id, expiry, connected, ends_at, will_at, will, passport = record
    told = (None,) * 4 if will is None else _will_row(will)
    return (number, client_id, expiry, connected, ends_at, will_at, *told, passport)


def _will_row(will: MessageRecord) -> tuple[object, ...]:
    return will.topic, will.payload, will.qos | will.retain << 2, will.properties


def session_of(row: Sequence[Any]) -> SessionRecord:
    """The session that a row is of."""
    number, client_id, expiry, connected, ends_at, will_at, *will, passport = row
    return SessionRecord(
        *(number, client_id, expiry, bool(connected)),
        *(ends_at, will_at, _will(*will), passport),
    )


def _will(
    topic: bytes | None, payload: bytes, flags: int, properties: bytes | None
) -> MessageRecord | None:
    if topic is None:
        return None
    return MessageRecord(0, topic, payload, flags & 3, bool(flags & 4), properties, None, 0.0, None)


def message_rows(
    messages: Mapping[int, MQTTPublication], drift: float
) -> Iterator[tuple[object, ...]]:
    """Rows of messages that wait, by their numbers. Without an expiry no time is of account."""
    for number, each in messages.items():
        flags = each.qos | RETAIN if each.retain else each.qos
        if each.properties is None:
            yield number, each.topic, each.payload, flags, None, None, None
        else:
            record = message_record(each, drift)
            times = (None, None) if record.expires is None else (record.received, record.expires)
            yield number, each.topic, each.payload, flags, record.properties, *times


def message_of(row: Sequence[Any]) -> MessageRecord:
    """The message that a row is of; its publisher is not kept."""
    number, topic, payload, flags, properties, received, expires = row
    return MessageRecord(
        number,
        topic,
        payload,
        flags & 3,
        bool(flags & RETAIN),
        properties,
        None,
        received or 0.0,
        expires,
    )


def retained_row(record: MessageRecord) -> tuple[object, ...]:
    """The row of a message that is retained."""
    _, topic, payload, qos, _, properties, origin, received, expires = record
    return topic, payload, qos, properties, origin, received, expires


def retained_of(row: Sequence[Any]) -> MessageRecord:
    """The retained message that a row is of."""
    topic, payload, qos, *rest = row
    return MessageRecord(0, topic, payload, qos, True, *rest)
