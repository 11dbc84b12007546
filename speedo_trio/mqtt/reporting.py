"""Reporting: what a broker tells of itself, for the admin endpoint.

All is summed up where it is asked for, with others' turns in between; nothing is counted for it
while messages pass.

Next: `speedo_trio.mqtt.service`.
"""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING, Final

import trio
from attrs import define

from speedo_trio.mqtt.state.client import Client
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.protocol.report import Figure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from speedo_trio.mqtt.common import Service
    from speedo_trio.mqtt.state.session import Session
    from speedo_trio.mqtt.state.terms import MQTTTerms

_TURN: Final = 500
"""Sessions that are looked at before it is others' turn."""
_SHOWN: Final = 200
"""Characters of a name, and filters of a client, that are shown."""
_VERSIONS: Final = {
    Version.MQTT_3_1: "3.1",
    Version.MQTT_3_1_1: "3.1.1",
    Version.MQTT_5_0: "5.0",
}


@define(eq=False)
class _Sums:
    """Of all sessions."""

    waiting: int = 0
    waiting_bytes: int = 0
    inflight: int = 0
    held: int = 0
    queue: int = 0
    too_large: int = 0
    expired: int = 0


class Reporting:
    """Reports of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._totals: dict[str, float] = {}

    async def figures(self) -> Sequence[Figure]:
        """All, as they are now."""
        sums, versions = _Sums(), dict.fromkeys(_VERSIONS.values(), 0)
        async for session in self._sessions():
            _add(sums, session)
            version = _version(session)
            if version is not None:
                versions[version] += 1
        return [
            *self._gauges(sums, versions),
            *await self._traffic(sums),
            *self._store(),
        ]

    async def clients(self, most: int) -> Sequence[Mapping[str, object]]:
        """Those for whom most waits."""
        found: list[Session] = []
        batch: list[Session] = []
        async for session in self._sessions():
            batch.append(session)
            if len(batch) == _TURN:
                found, batch = nlargest(most, [*found, *batch], key=_waiting), []
        return [_short(each) for each in nlargest(most, [*found, *batch], key=_waiting)]

    def client(self, client_id: str) -> Mapping[str, object] | None:
        """All about one."""
        session = self._service.sessions.get(client_id)
        return None if session is None else {**_short(session), **_details(session)}

    async def _sessions(self) -> AsyncIterator[Session]:
        """All, others' turns in between. What ends meanwhile may be among them."""
        for index, session in enumerate(list(self._service.sessions), 1):
            yield session
            if not index % _TURN:
                await trio.lowlevel.checkpoint()

    def _gauges(self, sums: _Sums, versions: dict[str, int]) -> Iterator[Figure]:
        service = self._service
        register, exchange = service.sessions, service.core.exchange
        yield Figure(
            name="mqtt_clients",
            text="Clients that are connected, by the version that they speak.",
            value=versions,
            label="version",
        )
        yield Figure(
            name="mqtt_sessions",
            text="Sessions, by whether their clients are connected or away.",
            value={"connected": register.online, "away": register.offline},
            label="client",
        )
        for name, text, value in (
            ("subscriptions", "Subscriptions; a shared one counts once.", exchange.subscriptions),
            ("retained_messages", "Messages that are retained.", exchange.retained),
        ):
            yield Figure(name=f"mqtt_{name}", text=text, value=len(value))
        for name, text, number in (
            ("retained_bytes", "The bytes of these.", exchange.retained.bytes),
            ("queued_messages", "Messages with QoS 1 or 2 that wait to be sent.", sums.waiting),
            ("queued_bytes", "The bytes of these.", sums.waiting_bytes),
            ("inflight_messages", "Messages that were sent, not acknowledged yet.", sums.inflight),
            ("held_identifiers", "Messages with QoS 2 that clients have not released.", sums.held),
        ):
            yield Figure(name=f"mqtt_{name}", text=text, value=number)

    async def _traffic(self, sums: _Sums) -> list[Figure]:
        service = self._service
        register, hub, totals = service.sessions, service.hub, await service.traffic.totals()
        dropped = {
            "queue": sums.queue + hub.dropped,
            "slow": totals.dropped,
            "expired": sums.expired + hub.expired,
            "too_large": sums.too_large + hub.too_large,
        }
        return [
            self._total("connects", "Clients that were taken in.", register.connections),
            self._total("sessions_expired", "Sessions that have expired.", register.expired),
            self._total("published", "Messages that were published.", service.core.published),
            self._total("delivered", "Messages that connections have taken.", totals.delivered),
            self._totals_of(
                "dropped",
                "Messages that a client did not get: its queue was full, it read too slowly, they "
                "had waited for too long, or were larger than it takes.",
                "reason",
                dropped,
            ),
            self._totals_of(
                "packets",
                "Packets of any type.",
                "direction",
                {"received": totals.packets_received, "sent": totals.packets_sent},
            ),
            self._totals_of(
                "bytes",
                "Bytes.",
                "direction",
                {"received": totals.received, "sent": totals.sent},
            ),
            self._totals_of(
                "limits_reached",
                "How often clients have reached a limit, by its setting.",
                "limit",
                dict(register.hits),
            ),
        ]

    def _store(self) -> Iterator[Figure]:
        keeper = self._service.keeper
        if keeper is None:
            return
        yield Figure(
            name="mqtt_store_pending_bytes",
            text="What is noted and not written yet, in bytes, about.",
            value=keeper.noted,
        )
        yield Figure(
            name="mqtt_store_failing", text="Whether the store fails, 1 or 0.", value=keeper.failing
        )
        yield self._total("store_commits", "Commits that were written.", keeper.ledger.written)

    def _total(self, name: str, text: str, value: float) -> Figure:
        """What ends while others have their turn may be missing once, and it must not go back."""
        value = self._totals[name] = max(value, self._totals.get(name, 0))
        return Figure(name=f"mqtt_{name}", text=text, value=value, total=True)

    def _totals_of(self, name: str, text: str, label: str, values: Mapping[str, float]) -> Figure:
        kept = {}
        for key, value in values.items():
            place = f"{name} {key}"
            kept[key] = self._totals[place] = max(value, self._totals.get(place, 0))
        return Figure(name=f"mqtt_{name}", text=text, value=kept, label=label, total=True)


def _add(sums: _Sums, session: Session) -> None:
    outgoing = session.outgoing
    sums.waiting += outgoing.waiting
    sums.waiting_bytes += outgoing.waiting_bytes
    sums.inflight += outgoing.inflight
    sums.held += len(session.incoming.held)
    sums.queue += outgoing.dropped
    sums.too_large += outgoing.too_large
    sums.expired += outgoing.expired


def _waiting(session: Session) -> tuple[int, int]:
    return session.outgoing.waiting_bytes, session.outgoing.waiting


def _version(session: Session) -> str | None:
    client = session.client
    version = client.version if isinstance(client, Client) else None
    return None if version is None else _VERSIONS[version]


def _short(session: Session) -> dict[str, object]:
    outgoing = session.outgoing
    return {
        "id": session.client_id,
        "connected": session.client is not None,
        "version": _version(session),
        "subscriptions": len(session.subscriptions),
        "queued": outgoing.waiting,
        "queued_bytes": outgoing.waiting_bytes,
        "inflight": outgoing.inflight,
        "dropped": outgoing.dropped,
    }


def _details(session: Session) -> dict[str, object]:
    outgoing, client, will = session.outgoing, session.client, session.will
    connected = client if isinstance(client, Client) else None
    return {
        "too_large": outgoing.too_large,
        "expired": outgoing.expired,
        "held_identifiers": len(session.incoming.held),
        "keep_alive": None if connected is None else connected.keep_alive,
        "packets_received": None if connected is None else connected.packets,
        "refused": None if connected is None else connected.refused,
        "session_expiry": session.expiry,
        "will_topic": None if will is None else _text(will.topic),
        "filters": {
            _text(topic_filter): _options(terms)
            for topic_filter, terms in list(session.subscriptions.items())[:_SHOWN]
        },
    }


def _options(terms: MQTTTerms) -> str:
    told = [f"QoS {terms.qos}"]
    if terms.no_local:
        told.append("no local")
    if terms.retain_as_published:
        told.append("retain as published")
    told += [f"identifier {number}" for number in terms.identifiers]
    return ", ".join(told)


def _text(topic: bytes) -> str:
    text = topic.decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
