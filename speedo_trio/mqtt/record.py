"""A record: the messages that were published at a broker, for tests.

Next: `speedo_trio.testing.mqtt`.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from attrs import define

from speedo_trio.broker.broker import encoded
from speedo_trio.mqtt.message import message_of
from speedo_trio.pubsub.subscriber import NO_TERMS
from speedo_trio.pubsub.topics import check_filter, matches

if TYPE_CHECKING:
    from speedo_trio.broker.broker import Broker
    from speedo_trio.mqtt.message import MQTTMessage
    from speedo_trio.pubsub.publication import Publication
    from speedo_trio.pubsub.subscriber import Terms


@define(eq=False)
class _Entry:
    message: MQTTMessage
    taken: bool = False


class Record:
    """The latest messages that were published, for any thread.

    It is told of messages beside the broker's subscribers: it isn't counted among those who take
    a message, and `Broker.subscribers` doesn't know it.
    """

    def __init__(self, most: int) -> None:
        """Begin with nothing.

        Args:
            most: so many messages are kept, the latest.
        """
        self._entries: deque[_Entry] = deque(maxlen=most)
        self._changed = threading.Condition()

    def attach(self, broker: Broker) -> None:
        """Record what is published there, but to topics that begin with ``$``. In its thread."""
        broker.core.exchange.subscribe(b"#", self, NO_TERMS)

    def deliver(self, publication: Publication, terms: Terms) -> bool:
        """Write a message down; what the broker calls."""
        message = message_of(publication)
        with self._changed:
            self._entries.append(_Entry(message))
            self._changed.notify_all()
        return False  # to a publisher this is nobody

    def messages(self, topic_filter: str) -> list[MQTTMessage]:
        """All that a filter matches, in the order of their publishing.

        Raises:
            TopicError: the filter is not allowed.
        """
        wanted = _checked(topic_filter)
        with self._changed:
            return [each.message for each in self._entries if _matches(wanted, each)]

    def take(self, topic_filter: str, timeout: float) -> MQTTMessage:
        """The first that a filter matches and that was not taken before; waits for one.

        Raises:
            TimeoutError: none has come; the text tells what has.
            TopicError: the filter is not allowed.
        """
        wanted = _checked(topic_filter)
        with self._changed:
            entry = self._changed.wait_for(lambda: self._first(wanted), timeout)
            if entry is None:
                raise TimeoutError(f"no message of {topic_filter} within {timeout:g} s; {self}")
            entry.taken = True
            return entry.message

    def clear(self) -> None:
        """Forget all."""
        with self._changed:
            self._entries.clear()

    def __str__(self) -> str:
        """What was published last, by its topics."""
        topics = [each.message.topic for each in self._entries]
        return f"published were {', '.join(topics[-10:]) or 'none'}"

    def _first(self, wanted: bytes) -> _Entry | None:
        return next(
            (each for each in self._entries if not each.taken and _matches(wanted, each)), None
        )


def _checked(topic_filter: str) -> bytes:
    check_filter(encoded(topic_filter))
    return encoded(topic_filter)


def _matches(wanted: bytes, entry: _Entry) -> bool:
    return matches(wanted, entry.message.topic.encode())
