"""A journal that only takes notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from speedo_trio.mqtt.state.flights import Message
from speedo_trio.mqtt.state.journal import Notable
from speedo_trio.mqtt.state.terms import MQTTTerms


class Notes:
    """What a session tells its journal, in order."""

    def __init__(self) -> None:
        self.notes: list[tuple[object, ...]] = []
        self.fetches: list[int] = []
        """The rows behind which more was asked for."""
        self._row = 0

    def save(self, session: Notable) -> None:
        self.notes.append(("save", session.connected))

    def leave_rows(self, *, shared: bool) -> None:
        self.notes.append(("leave", shared) if shared else ("leave",))

    def give_back(self, message: Message) -> None:
        self.notes.append(("give back", message[5]))

    def end(self) -> None:
        self.notes.append(("end",))

    def subscribe(self, topic_filter: bytes, terms: MQTTTerms) -> None:
        self.notes.append(("subscribe", topic_filter, terms.qos))

    def unsubscribe(self, topic_filter: bytes) -> None:
        self.notes.append(("unsubscribe", topic_filter))

    def hold(self, packet_id: int) -> None:
        self.notes.append(("hold", packet_id))

    def release(self, packet_id: int) -> None:
        self.notes.append(("release", packet_id))

    def enqueue(self, message: Message, packet_id: int) -> int:
        self._row += 1
        self.notes.append(("enqueue", self._row, packet_id))
        return self._row

    def enqueue_run(
        self, messages: Sequence[Message], packet_ids: Sequence[int]
    ) -> Sequence[Message]:
        rows = [
            self.enqueue(message, packet_id)
            for message, packet_id in zip(messages, packet_ids, strict=True)
        ]
        return [(*each[:5], row) for each, row in zip(messages, rows, strict=True)]

    def send(self, message: Message, packet_id: int) -> None:
        self.notes.append(("send", message[5], packet_id))

    def received(self, message: Message, packet_id: int) -> int:
        self._row += 1
        self.notes.append(("received", message[5], self._row, packet_id))
        return self._row

    def drop(self, message: Message) -> None:
        self.notes.append(("drop", message[5]))

    def drop_run(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.drop(message)

    def complete(self, row: int) -> None:
        self.notes.append(("complete", row))

    def fetch(self, after: int, messages: int, size: int) -> None:
        self.fetches.append(after)

    def sweep(self, after: int) -> None:
        self.notes.append(("sweep", after))

    def warm(self) -> None:
        self.notes.append(("warm",))

    def take(self) -> list[tuple[object, ...]]:
        """What was noted since the last call."""
        notes, self.notes = self.notes, []
        return notes
