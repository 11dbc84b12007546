"""An MQTT broker for the tests of those who write MQTT clients, on any event loop or none."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from speedo_trio.mqtt.embedding import DEFAULT_CONFIG, DEFAULT_OBSERVER, SYS_INTERVAL
from speedo_trio.mqtt.hooks import NO_HOOKS, Hooks
from speedo_trio.mqtt.record import Record
from speedo_trio.mqtt.thread import MQTTThread
from speedo_trio.mqtt.wire.reason_codes import ReasonCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from speedo_trio.broker.broker import Broker
    from speedo_trio.broker.limits import BrokerLimits
    from speedo_trio.broker.message import TopicMessage
    from speedo_trio.config import Config
    from speedo_trio.events import Observer
    from speedo_trio.mqtt.bridging.settings import BridgeSettings
    from speedo_trio.mqtt.message import MQTTMessage
    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.stats import SessionStats

RECORDED = 10_000
"""Messages that are kept: more than a test looks at."""

PATIENCE = 5.0
"""Seconds that tests wait for what should come at once; a machine may be busy."""

GRACE = 0.2
"""Seconds that clients have to close their end: they may run in a loop that waits for this."""

_LOOK = 0.005
"""Seconds between two looks at what is waited for."""


class MQTTTestBroker(MQTTThread):
    """An `MQTTThread <speedo_trio.mqtt.MQTTThread>` that remembers what was published.

    ::

        def test_the_reading_is_published(mqtt_broker):
            run_my_program(mqtt_broker.url)
            message = mqtt_broker.wait_for_message("sensors/#")
            assert (message.payload, message.qos) == (b"21.5", 1)

    What waits blocks. In an event loop call it by ``asyncio.to_thread`` or
    ``trio.to_thread.run_sync``.
    """

    def __init__(
        self,
        *binds: str,
        config: Config = DEFAULT_CONFIG,
        capabilities: Capabilities | None = None,
        limits: BrokerLimits | None = None,
        hooks: Hooks = NO_HOOKS,
        sys_interval: float = SYS_INTERVAL,
        bridges: Iterable[BridgeSettings] = (),
        observer: Observer | None = DEFAULT_OBSERVER,
    ) -> None:
        """Prepare it as an `MQTTThread`; without binds it listens on a free port of localhost."""
        super().__init__(
            *(binds or ("tcp://localhost:0",)),
            config=config,
            capabilities=capabilities,
            limits=limits,
            hooks=hooks,
            sys_interval=sys_interval,
            bridges=bridges,
            observer=observer,
        )
        self._record = Record(RECORDED)

    # What was published

    def messages(self, topic_filter: str = "#") -> list[MQTTMessage]:
        """What was published under the topics that a filter matches, by whomever, in order.

        The latest 10,000 messages are remembered, over restarts too; those of topics that begin
        with ``$`` are not.

        Raises:
            TopicError: the filter is not allowed.
        """
        return self._record.messages(topic_filter)

    def wait_for_message(
        self, topic_filter: str = "#", *, timeout: float = PATIENCE
    ) -> MQTTMessage:
        """The first message that a filter matches, if need be one that is still to come.

        Each message is given once, so a second call gives the next.

        Raises:
            TimeoutError: none has come within so many seconds; the text tells what has.
            TopicError: the filter is not allowed.
        """
        return self._record.take(topic_filter, timeout)

    def retained(self, topic_filter: str = "#") -> list[TopicMessage]:
        """What is retained now under the topics that a filter matches.

        Raises:
            ServerClosed: it doesn't run.
            TopicError: the filter is not allowed.
        """
        broker = self.server.broker
        return self.call(lambda: list(broker.retained(topic_filter)))

    def forget_messages(self) -> None:
        """Remember no message that was published until now."""
        self._record.clear()

    # Who is there

    def sessions(self) -> tuple[SessionStats, ...]:
        """The sessions of all clients, of those who are away too.

        Raises:
            ServerClosed: it doesn't run.
        """
        return self.call(self.server.mqtt.sessions)

    def wait_for_client(self, client_id: str | None = None, *, timeout: float = PATIENCE) -> str:
        """Wait until a client is connected, that one or any; its identifier.

        Raises:
            TimeoutError: it hasn't come within so many seconds; the text tells who is there.
        """

        def connected() -> str | None:
            there = [each.client_id for each in self.sessions() if each.connected]
            return next((each for each in there if client_id in {None, each}), None)

        return self._wait_for(connected, f"client {client_id or 'at all'}", timeout)

    def wait_for_subscriber(self, topic: str, *, timeout: float = PATIENCE) -> str:
        """Wait until somebody would get what is published under a topic; the name in statistics.

        Raises:
            TimeoutError: nobody has subscribed within so many seconds; the text tells who is there.
            TopicError: the topic is not allowed.
        """

        def subscribed() -> str | None:
            found = self.call(self.server.broker.subscribers, topic)
            return found[0].name if found else None

        return self._wait_for(subscribed, f"subscriber to {topic}", timeout)

    # What may happen to clients

    def disconnect(
        self, client_id: str, reason: ReasonCode | None = ReasonCode.ADMINISTRATIVE_ACTION
    ) -> bool:
        """End a client's connection. Its session stays, as if the client had gone.

        Args:
            reason: what a client of MQTT 5.0 is told; None: the connection ends without a word, as
                if the network had lost it.

        Returns:
            Whether it was there.
        """
        return self.call(self.server.mqtt.disconnect, client_id, reason)

    def restart(self) -> None:
        """Stop, and start anew on the same port, without sessions and retained messages.

        For a while in between, call `stop` and `start`.
        """
        self.stop()
        self.start()

    def stop(self, grace: float | None = GRACE) -> None:
        """Drain the broker and end the thread, if it runs.

        Args:
            grace: seconds that clients have to close their end.
        """
        super().stop(grace)

    # How

    def _new_broker(self) -> Broker:
        broker = super()._new_broker()
        self._record.attach(broker)
        return broker

    def _wait_for(self, look: Callable[[], str | None], what: str, timeout: float) -> str:
        deadline = time.monotonic() + timeout
        while (found := look()) is None:
            if time.monotonic() >= deadline:
                there = ", ".join(
                    f"{each.client_id}{'' if each.connected else ' (away)'} {list(each.filters)}"
                    for each in self.sessions()
                )
                raise TimeoutError(f"no {what} within {timeout:g} s; there are {there or 'none'}")
            time.sleep(_LOOK)
        return found
