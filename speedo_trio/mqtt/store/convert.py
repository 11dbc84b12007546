"""Conversions: records of the state machine's objects, and back.

Next: `speedo_trio.mqtt.store.ledger`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedo_trio.mqtt.state.durable import ColdPublication
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.state.terms import MQTTTerms
from speedo_trio.mqtt.store.records import (
    RETAIN,
    ROWS,
    MessageRecord,
    SubscriptionRecord,
)
from speedo_trio.mqtt.wire.body import Body
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import Will
from speedo_trio.mqtt.wire.properties import WILL
from speedo_trio.mqtt.wire.property_list import decode_properties, encode_properties
from speedo_trio.pubsub.topics import SHARED

if TYPE_CHECKING:
    from speedo_trio.mqtt.state.flights import Message
    from speedo_trio.mqtt.store.records import QueueRow
    from speedo_trio.mqtt.wire.properties import Place, Properties
    from speedo_trio.pubsub.publication import Publication


def message_record(publication: Publication, drift: float) -> MessageRecord:
    """A record of a publication.

    Args:
        drift: What the wall's clock is ahead of the publication's.
    """
    topic, payload, retain = publication.topic, publication.payload, publication.retain
    if not isinstance(publication, MQTTPublication):
        return MessageRecord(0, topic, payload, 0, retain, None, None, 0.0, None)
    properties, origin = publication.properties, publication.origin
    encoded = None if properties is None else encode_properties(properties, PacketType.PUBLISH)
    received, expires = publication.received_at + drift, publication.expires_at
    return MessageRecord(
        publication.number,
        topic,
        payload,
        publication.qos,
        retain,
        encoded,
        origin if isinstance(origin, str) else None,
        received,
        None if expires is None else expires + drift,
    )


def publication_of(record: MessageRecord, drift: float) -> MQTTPublication:
    """The publication that a record is of."""
    publication = MQTTPublication(
        record.topic,
        record.payload,
        record.qos,
        record.retain,
        _decoded(record.properties, PacketType.PUBLISH),
        record.origin,
        record.received - drift,
    )
    publication.number = record.number
    return publication


def will_record(will: Will) -> MessageRecord:
    """A record of a will."""
    properties = will.properties
    encoded = None if properties is None else encode_properties(properties, WILL)
    return MessageRecord(
        0, will.topic, will.payload, will.qos, will.retain, encoded, None, 0.0, None
    )


def will_of(record: MessageRecord) -> Will:
    """The will that a record is of."""
    properties = _decoded(record.properties, WILL)
    return Will(record.topic, record.payload, record.qos, record.retain, properties)


def subscription_record(session: int, topic_filter: bytes, terms: MQTTTerms) -> SubscriptionRecord:
    """A record of a subscription."""
    return SubscriptionRecord(
        session,
        topic_filter,
        terms.qos,
        terms.no_local,
        terms.retain_as_published,
        terms.identifiers[0] if terms.identifiers else 0,
    )


def terms_of(record: SubscriptionRecord) -> MQTTTerms:
    """The terms of the subscription that a record is of."""
    return MQTTTerms(
        record.qos,
        no_local=record.no_local,
        retain_as_published=record.retain_as_published,
        identifiers=(record.identifier,) if record.identifier else (),
        group=record.topic_filter if record.topic_filter.startswith(SHARED) else None,
    )


def message_of(row: QueueRow, publication: MQTTPublication) -> Message:
    """What goes to the client by a row of the queue."""
    key, _, _, flags, _, identifiers, group = row
    numbers = tuple(map(int, identifiers.split())) if identifiers else ()
    return publication, flags & 3, bool(flags & RETAIN), numbers, group, key % ROWS


def cold(number: int) -> ColdPublication:
    """What stands for a publication whose body is in the store."""
    publication = ColdPublication(b"", b"", 1)
    publication.number = number
    return publication


def _decoded(encoded: bytes | None, place: Place) -> Properties | None:
    return (
        None
        if encoded is None
        else decode_properties(Body(encoded, "a property list of the store"), place)
    )
