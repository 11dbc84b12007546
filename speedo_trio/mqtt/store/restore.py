"""What comes back from a store: sessions as they were, and what is retained.

Next: `speedo_trio.mqtt.store.archive`.
"""

from __future__ import annotations

import logging
from itertools import groupby
from typing import TYPE_CHECKING, Final

from speedo_trio.errors import TopicError
from speedo_trio.mqtt.state.durable import DurableOutgoing
from speedo_trio.mqtt.store.convert import cold, message_of, publication_of, terms_of, will_of
from speedo_trio.mqtt.store.records import ESTATE, IDENTIFIERS, RELEASED, ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from speedo_trio.broker.core import BrokerCore
    from speedo_trio.mqtt.state.session import Session
    from speedo_trio.mqtt.state.sessions import Sessions
    from speedo_trio.mqtt.store.contract import Image
    from speedo_trio.mqtt.store.ledger import Ledger
    from speedo_trio.mqtt.store.records import QueueRow, SessionRecord, SubscriptionRecord

_OWN: Final = b"$SYS/"

_logger = logging.getLogger("speedo_trio.mqtt")


def restore(
    image: Image,
    ledger: Ledger,
    sessions: Sessions,
    core: BrokerCore,
    recognise: Callable[[Session], None],
) -> None:
    """Bring back what is in a store. What was retained before stays, and is noted.

    Args:
        recognise: Finds out whose a session is.
    """
    ledger.references.update(image.shared)
    ledger.last_message = image.last_message
    _retain(image, ledger, core)
    records = [each for each in image.sessions if not each.client_id.startswith(ESTATE)]
    restored = {each.number: _session(each, image, ledger, sessions) for each in records}
    for record in image.sessions:
        if record.number not in restored:
            ledger.restore(record.number, record.client_id).pass_on()
    for each in restored.values():
        recognise(each)
    for subscription in image.subscriptions:
        session = restored.get(subscription.session)
        if session is not None:
            _subscribe(session, subscription, sessions, core)
    for key in image.held:
        session = restored.get(key // IDENTIFIERS)
        if session is not None:
            session.incoming.held.add(key % IDENTIFIERS)
    for number, rows in groupby(image.flights, lambda row: row[0] // ROWS):
        _flights(restored.get(number), rows)
    _resume(records, restored, sessions, core.clock())


def _retain(image: Image, ledger: Ledger, core: BrokerCore) -> None:
    now, drift, exchange = core.clock(), ledger.drift(), core.exchange
    before = [name for name in exchange.retained if not name.startswith(_OWN)]
    for name in before:
        publication = exchange.retained.get(name, now)
        if publication is not None:
            ledger.retain(publication)
    known = set(before)
    for record in image.retained:
        if record.topic not in known:
            publication = publication_of(record, drift)
            if not publication.expired(now):
                exchange.retain(publication, now=now, expires=publication.expires_at)


def _session(record: SessionRecord, image: Image, ledger: Ledger, sessions: Sessions) -> Session:
    """Make a session of its record, with what waits for it."""
    journal = ledger.restore(record.number, record.client_id, image.last_rows.get(record.number, 0))
    session = sessions.restore(record.client_id, journal)
    drift = ledger.drift()
    session.expiry = record.expiry
    session.passport = record.passport
    session.ends_at = None if record.ends_at is None else record.ends_at - drift
    session.will_at = None if record.will_at is None else record.will_at - drift
    session.will = None if record.will is None else will_of(record.will)
    waiting = image.waiting.get(record.number)
    if waiting is not None:
        assert isinstance(session.outgoing, DurableOutgoing)
        soonest = None if image.soonest is None else image.soonest - drift
        session.outgoing.shelf.restore(
            waiting.messages, waiting.size, soonest, shared=waiting.shared
        )
    return session


def _subscribe(
    session: Session, record: SubscriptionRecord, sessions: Sessions, core: BrokerCore
) -> None:
    """A subscription as it was; one that the broker doesn't allow any more is left out."""
    terms = terms_of(record)
    try:
        core.exchange.subscribe(record.topic_filter, session, terms)
    except TopicError as error:
        _logger.warning("client %r is not subscribed any more: %s", session.client_id, error)
    else:
        session.subscriptions[record.topic_filter] = terms
        sessions.subscriptions += 1


def _flights(session: Session | None, rows: Iterable[QueueRow]) -> None:
    """What was in flight to a session's client."""
    if session is None:
        return
    assert isinstance(session.outgoing, DurableOutgoing)
    flights, released, last = [], {}, 0
    for row in rows:
        key, number, packet_id, flags, *_ = row
        last = packet_id
        if flags & RELEASED:
            released[packet_id] = key % ROWS
        else:
            flights.append((packet_id, message_of(row, cold(number))))
    session.outgoing.restore(flights, released, last)


def _resume(
    records: Iterable[SessionRecord],
    restored: Mapping[int, Session],
    sessions: Sessions,
    now: float,
) -> None:
    """All are there: clients that were connected have gone now, and wills reach the others."""
    for record in records:
        sessions.resume(restored[record.number], now, crashed=record.connected)
    sessions.trim(now)
