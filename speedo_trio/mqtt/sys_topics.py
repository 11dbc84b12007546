"""`$SYS/broker/...`: figures of the broker as retained messages, by the names of mosquitto.

Next: `speedo_trio.mqtt.service`.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from math import inf
from typing import TYPE_CHECKING, Final

import trio

from speedo_trio.errors import ConfigError, RetainedFull, TopicError
from speedo_trio.mqtt.load import Load
from speedo_trio.pubsub.publication import Publication

if TYPE_CHECKING:
    from speedo_trio.broker.core import BrokerCore
    from speedo_trio.mqtt.hub import BrokerHub
    from speedo_trio.mqtt.register import Register
    from speedo_trio.mqtt.traffic import Traffic

_ROOT: Final = b"$SYS/broker/"

_TURN: Final = 500
"""Sessions that are looked at before it is others' turn."""

_LOADS: Final = {
    "messages/received": "load/messages/received",
    "messages/sent": "load/messages/sent",
    "publish/messages/received": "load/publish/received",
    "publish/messages/sent": "load/publish/sent",
    "publish/messages/dropped": "load/publish/dropped",
    "bytes/received": "load/bytes/received",
    "bytes/sent": "load/bytes/sent",
    "connections": "load/connections",
    "sockets": "load/sockets",
}
"""The counters whose rates are told, and where."""

_UNTOLD: Final = {"connections", "sockets"}
"""Counters of which only the rates are told."""


def check_interval(seconds: object) -> None:
    """See that it is an interval.

    Raises:
        ConfigError: It isn't.
    """
    if not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise ConfigError(f"sys_interval is {seconds!r}; allowed are seconds, 0 for never")


class SysTopics:
    """Publishes what has changed, every so many seconds."""

    def __init__(
        self,
        core: BrokerCore,
        hub: BrokerHub,
        register: Register,
        traffic: Traffic,
        interval: float,
    ) -> None:
        self._core = core
        self._hub = hub
        self._register = register
        self._traffic = traffic
        self._interval = interval
        self._changed = trio.Event()
        self._began = core.clock()
        self._looked = self._began
        self._told: dict[str, str] = {}
        self._loads = {name: Load() for name in _LOADS}
        self._counts: dict[str, int] = dict.fromkeys(_LOADS, 0)

    async def run(self) -> None:
        """Look and publish until cancelled; does nothing while the interval is 0."""
        while True:
            self._changed = trio.Event()
            if self._interval:
                await self.look()
            with trio.move_on_after(self._interval or inf):
                await self._changed.wait()

    @property
    def interval(self) -> float:
        """Seconds between two looks; 0: none is taken."""
        return self._interval

    @interval.setter
    def interval(self, seconds: float) -> None:
        if seconds != self._interval:
            self._interval = seconds
            self._changed.set()

    async def look(self) -> None:
        """Publish what has changed since it was told."""
        figures = await self._figures()
        for name, text in figures.items():
            if self._told.get(name) != text:
                self._told[name] = text
                self._publish(name, text)
        self._core.flush()

    def _publish(self, name: str, text: str) -> None:
        publication = Publication(_ROOT + name.encode(), text.encode(), retain=True)
        try:
            self._core.route(publication)
            self._core.published -= 1  # nobody asked for it
        except (RetainedFull, TopicError):  # those who are subscribed got it, if that is allowed
            pass

    async def _figures(self) -> dict[str, str]:
        """What there is to tell, by the ends of the topics."""
        waiting = await self._count()
        now = self._core.clock()
        seconds, self._looked = now - self._looked, now
        numbers = self._gauges(waiting)
        numbers |= {name: count for name, count in self._counts.items() if name not in _UNTOLD}
        return {
            "version": f"speedo_trio version {_version()}",
            "uptime": f"{int(now - self._began)} seconds",
            **{name: str(number) for name, number in numbers.items()},
            **self._rates(seconds),
        }

    async def _count(self) -> int:
        """Bring the counters up to date; how many messages wait in sessions.

        They never go back, though what ends while others have their turn may be missing once.
        """
        dropped, waiting = self._hub.dropped, 0
        for index, session in enumerate(list(self._register), 1):
            dropped += session.outgoing.dropped
            waiting += session.outgoing.waiting + session.outgoing.inflight
            if not index % _TURN:
                await trio.lowlevel.checkpoint()
        totals = await self._traffic.totals()
        counts = {
            "messages/received": totals.packets_received,
            "messages/sent": totals.packets_sent,
            "publish/messages/received": self._core.published,
            "publish/messages/sent": totals.delivered,
            "publish/messages/dropped": totals.dropped + dropped,
            "bytes/received": totals.received,
            "bytes/sent": totals.sent,
            "connections": self._register.connections,
            "sockets": self._traffic.connections,
        }
        self._counts = {name: max(self._counts[name], count) for name, count in counts.items()}
        return waiting

    def _rates(self, seconds: float) -> dict[str, str]:
        """The loads, after so many seconds."""
        if seconds <= 0:
            return {}
        told: dict[str, str] = {}
        for name, topic in _LOADS.items():
            load = self._loads[name]
            load.update(self._counts[name], seconds)
            told |= {f"{topic}/{span}": f"{rate:.2f}" for span, rate in load.rates.items()}
        return told

    def _gauges(self, waiting: int) -> dict[str, int]:
        """What goes up and down, given how many messages wait in sessions."""
        register, exchange = self._register, self._core.exchange
        retained = len(exchange.retained)
        return {
            "clients/total": len(register),
            "clients/connected": register.online,
            "clients/disconnected": register.offline,
            "clients/maximum": register.maximum,
            "clients/expired": register.expired,
            "messages/stored": retained + waiting,
            "retained messages/count": retained,
            "subscriptions/count": len(exchange.subscriptions),
        }


def _version() -> str:
    try:
        return version("speedo_trio")
    except PackageNotFoundError:  # run from a tree that was never installed
        return "unknown"
