"""An MQTT server in a thread, for programs on asyncio, without an event loop, and for tests.

This ends the tour of the embedding.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar, TypeVarTuple, Unpack

import trio

from speedo_trio.broker.broker import Broker
from speedo_trio.errors import ServerClosed
from speedo_trio.logs.event_log import EventLog
from speedo_trio.mqtt.embedding import (
    DEFAULT_BIND,
    DEFAULT_CONFIG,
    DEFAULT_OBSERVER,
    SYS_INTERVAL,
    MQTTServer,
    serve_mqtt,
)
from speedo_trio.mqtt.hooks import NO_HOOKS, Hooks
from speedo_trio.mqtt.trio_thread import TrioThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from speedo_trio.broker.limits import BrokerLimits
    from speedo_trio.config import Config
    from speedo_trio.events import Address, Observer
    from speedo_trio.mqtt.bridging.settings import BridgeSettings
    from speedo_trio.mqtt.message import MQTTMessage
    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.store.contract import Store
    from speedo_trio.mqtt.subscription import MQTTSubscription
    from speedo_trio.mqtt.wire.properties import Properties
    from speedo_trio.pubsub.outbox import OverflowPolicy

_PORT = re.compile(r":(\d+)(?=$|[/?])")

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class MQTTThread:
    """An MQTT server in a thread of its own; `run_in_thread` makes it.

    All methods are for any thread but that one. They wait until they are done, some 100 µs; in
    an event loop that is no matter, but for `ThreadSubscription.get`.
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
        store: Store | None = None,
        observer: Observer | None = DEFAULT_OBSERVER,
    ) -> None:
        """Prepare it; it runs from `start` to `stop`, or for a ``with``."""
        self._binds = binds or (DEFAULT_BIND,)
        self._config = config
        self._capabilities = capabilities
        self._limits = limits
        self._hooks = hooks
        self._sys_interval = sys_interval
        self._bridges = tuple(bridges)
        self._store = store
        self._observer = EventLog() if observer is DEFAULT_OBSERVER else observer
        self._thread: TrioThread[MQTTServer] | None = None
        self._server: MQTTServer | None = None
        self._addresses: tuple[Address, ...] = ()
        self._url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # From its start to its end

    def start(self) -> None:
        """Begin to listen. After a `stop` it is a new server, on the ports that it had before.

        When this is interrupted, nothing of it is left.

        Raises:
            BindError: an address cannot be listened on, or a certificate can't be used.
            StoreError: the store can't be used.
            RuntimeError: it runs already.
        """
        if self.running:
            raise RuntimeError("the server runs already; stop() ends it")
        serve = partial(
            serve_mqtt,
            *self._binds,
            config=self._config,
            capabilities=self._capabilities,
            broker=self._new_broker(),
            hooks=self._hooks,
            sys_interval=self._sys_interval,
            bridges=self._bridges,
            store=self._store,
            observer=self._observer,
        )
        thread = TrioThread[MQTTServer](serve, "mqtt")
        self._server = thread.start()
        self._thread = thread
        try:
            self._addresses, self._url = thread.call(_places, self._server)
        except BaseException:
            self._thread = None
            thread.stop()
            raise
        self._binds = tuple(_with_ports(self._binds, self._addresses))

    def stop(self, grace: float | None = None) -> None:
        """Drain the server and wait for the end of the thread; does nothing if there is none.

        That takes as long as `Server.drain` says, at most. When it is interrupted, by another
        Ctrl-C say, the server is stopped at once. In a forked process it does nothing.

        Args:
            grace: in seconds; None takes ``timeouts.grace``.

        Raises:
            BaseException: what ended the server before, if it was an error.
        """
        thread, self._thread = self._thread, None
        if thread is None or self._server is None:
            return
        try:
            with suppress(ServerClosed):
                thread.wait(self._server.drain, grace)
        finally:
            thread.stop()

    @property
    def running(self) -> bool:
        """Whether it serves."""
        return self._thread is not None and self._thread.running

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where it listens, or did before it was stopped."""
        return self._addresses

    @property
    def port(self) -> int:
        """The port that it listens on, of several the first; 0: on none."""
        return next((each.port for each in self._addresses if each.port), 0)

    @property
    def url(self) -> str:
        """Where clients reach it: ``mqtt://127.0.0.1:1883``, of several addresses the first."""
        return self._url

    # What is done in the thread

    @property
    def server(self) -> MQTTServer:
        """The server itself, for `call`: all that is in it is for its own thread.

        Raises:
            ServerClosed: it doesn't run.
        """
        if self._server is None or not self.running:
            raise ServerClosed("the server doesn't run")
        return self._server

    def call(
        self, function: Callable[[Unpack[Arguments]], Result], *arguments: *Arguments
    ) -> Result:
        """Call a function in the server's thread; what it gives or raises.

        ::

            for session in broker.call(broker.server.mqtt.sessions):
                print(session.client_id)

        Raises:
            ServerClosed: it doesn't run.
            RuntimeError: this is that thread.
        """
        return self._running().call(function, *arguments)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> int:
        """Publish as `MQTT.publish` does.

        Raises:
            ServerClosed: it doesn't run.
        """
        publish = partial(self.server.publish, qos=qos, retain=retain, properties=properties)
        return self.call(publish, topic, payload)

    def subscribe(
        self,
        *filters: str,
        waiting_messages: int = 1000,
        waiting_bytes: int = 33_554_432,
        overflow: OverflowPolicy = "drop-newest",
        name: str = "application",
    ) -> ThreadSubscription:
        """Subscribe, from now on until it is closed or the server ends. Arguments as of `Broker`.

        ::

            with broker.subscribe("sensors/#") as messages:
                for message in messages:
                    print(message.topic, message.payload)

        Raises:
            ServerClosed: it doesn't run.
            TopicError: a filter that is not allowed.
            ConfigError: a bound or policy that is not allowed, or no filter at all.
        """
        thread = self._running()
        subscription = self.server.subscribe(
            *filters,
            waiting_messages=waiting_messages,
            waiting_bytes=waiting_bytes,
            overflow=overflow,
            name=name,
        )
        thread.wait(subscription.__aenter__)
        return ThreadSubscription(thread, subscription)

    def _new_broker(self) -> Broker:
        return Broker(self._limits, observer=self._observer)

    def _running(self) -> TrioThread[MQTTServer]:
        if self._thread is None:
            raise ServerClosed("the server doesn't run")
        return self._thread


class ThreadSubscription:
    """Messages of some filters, for a ``for`` in any thread, or one by one."""

    def __init__(self, thread: TrioThread[MQTTServer], subscription: MQTTSubscription) -> None:
        self._thread = thread
        self._subscription = subscription

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> MQTTMessage:
        """Wait for the next message, without a bound.

        Raises:
            StopIteration: it was closed, or the server has ended.
            SubscriberTooSlow: the messages were taken too slowly, and `overflow` is "disconnect".
        """
        try:
            return self.get()
        except ServerClosed:
            raise StopIteration from None

    def get(self, timeout: float | None = None) -> MQTTMessage:
        """Wait for the next message.

        It blocks. In an event loop call it by ``asyncio.to_thread`` or ``trio.to_thread.run_sync``.

        Args:
            timeout: in seconds; None: as long as it takes.

        Raises:
            TimeoutError: none has come.
            ServerClosed: the subscription was closed, or the server has ended.
            SubscriberTooSlow: the messages were taken too slowly, and `overflow` is "disconnect".
        """
        message = self._thread.wait(self._next, float("inf") if timeout is None else timeout)
        if message is None:
            raise ServerClosed("the subscription was closed")
        return message

    def close(self) -> None:
        """Get nothing more; who waits for a message learns of it."""
        with suppress(ServerClosed):
            self._thread.wait(self._subscription.__aexit__)

    async def _next(self, timeout: float) -> MQTTMessage | None:  # noqa: ASYNC109  # who waits is no task
        waits = self._subscription.take_nowait()
        if waits is not None:  # also with a timeout that is over at once
            return waits
        with trio.move_on_after(timeout):
            return await anext(self._subscription, None)
        raise TimeoutError(f"no message within {timeout:g} s")


def run_in_thread(
    *binds: str,
    config: Config = DEFAULT_CONFIG,
    capabilities: Capabilities | None = None,
    limits: BrokerLimits | None = None,
    hooks: Hooks = NO_HOOKS,
    sys_interval: float = SYS_INTERVAL,
    bridges: Iterable[BridgeSettings] = (),
    store: Store | None = None,
    observer: Observer | None = DEFAULT_OBSERVER,
) -> MQTTThread:
    """Serve MQTT in a thread, for a program that doesn't run on Trio.

    ::

        with run_in_thread("tcp://localhost:0") as broker:
            print("listening on", broker.url)
            broker.publish("sensors/kitchen", b"21.5", retain=True)

    When the block is entered the server listens; when it is left, also by an exception, it is
    drained and the thread ends. The arguments are those of `serve_mqtt`. An observer and hooks are
    called in that thread.

    Raises:
        BindError: on entering: an address cannot be listened on, or a certificate can't be used.
        StoreError: on entering: the store can't be used.
    """
    return MQTTThread(
        *binds,
        config=config,
        capabilities=capabilities,
        limits=limits,
        hooks=hooks,
        sys_interval=sys_interval,
        bridges=bridges,
        store=store,
        observer=observer,
    )


def _places(server: MQTTServer) -> tuple[tuple[Address, ...], str]:
    """Where a server listens, and the URL of that."""
    return server.addresses, server.url


def _with_ports(binds: tuple[str, ...], addresses: tuple[Address, ...]) -> Iterator[str]:
    """The binds with the ports that were found for them. All addresses of a bind have one port."""
    named = {int(found[1]) for found in map(_PORT.search, binds) if found}
    ports = iter(dict.fromkeys(each.port for each in addresses if each.port not in {0, *named}))
    for bind in binds:
        found = _PORT.search(bind)
        if found and found[1] == "0":
            yield f"{bind[: found.start()]}:{next(ports)}{bind[found.end() :]}"
        else:
            yield bind
