"""What the tests of ``pub`` and ``sub`` share: a broker, and servers that misbehave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest
import trio

from speedo_trio import Broker, TopicMessage, serve
from speedo_trio.simplepub import SimplePub
from speedo_trio.testing import MQTTTestBroker


class Served:
    """A broker that is served over TCP by a thread, as tests of processes must not wait for it."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.url = ""
        self._ready: SimpleQueue[trio.lowlevel.TrioToken] = SimpleQueue()
        self._stop = trio.Event()
        self._thread = threading.Thread(target=trio.run, args=[self._serve])

    def start(self) -> None:
        self._thread.start()
        self._token = self._ready.get()

    def close(self) -> None:
        self._token.run_sync_soon(self._stop.set)
        self._thread.join()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish from the test."""
        trio.from_thread.run_sync(
            partial(self.broker.publish, topic, payload, retain=retain), trio_token=self._token
        )

    def retained(self, topic_filter: str) -> list[TopicMessage]:
        """What is kept."""
        return trio.from_thread.run_sync(
            lambda: list(self.broker.retained(topic_filter)), trio_token=self._token
        )

    def wait_for_filters(self, count: int) -> None:
        """Wait until so many are subscribed to."""
        trio.from_thread.run(self._wait_for_filters, count, trio_token=self._token)

    async def _wait_for_filters(self, count: int) -> None:
        with trio.fail_after(20):
            while self.broker.stats().subscriptions < count:  # noqa: ASYNC110  # it makes no event
                await trio.sleep(0.005)

    async def _serve(self) -> None:
        async with trio.open_nursery() as nursery:
            start = partial(serve, SimplePub(self.broker), "tcp://127.0.0.1:0", observer=None)
            server = await nursery.start(start)
            self.url = f"simplepub://127.0.0.1:{server.addresses[0].port}"
            self._ready.put(trio.lowlevel.current_trio_token())
            await self._stop.wait()
            nursery.cancel_scope.cancel()


@pytest.fixture
def served() -> Iterator[Served]:
    """A broker."""
    served = Served()
    served.start()
    yield served
    served.close()


class Odd:
    """A server that does one thing to each of its clients, in a thread."""

    def __init__(self, treat: Callable[[socket.socket], None]) -> None:
        self._treat = treat
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"simplepub://127.0.0.1:{self._listening.getsockname()[1]}"
        self.came = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._listening.accept()
                self.came.set()
                with connection, suppress(OSError):
                    self._treat(connection)
                    while connection.recv(65_536):
                        pass

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


@pytest.fixture
def odd() -> Iterator[Callable[[Callable[[socket.socket], None]], Odd]]:
    """Makes servers that misbehave."""
    made: list[Odd] = []

    def make(treat: Callable[[socket.socket], None]) -> Odd:
        made.append(Odd(treat))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def make_mqtt() -> Iterator[Callable[..., MQTTTestBroker]]:
    """Starts brokers of MQTT."""
    with ExitStack() as brokers:

        def make(**options: Any) -> MQTTTestBroker:  # Any: they are typed there
            return brokers.enter_context(MQTTTestBroker(**options))

        yield make


@pytest.fixture
def mqtt(make_mqtt: Callable[..., MQTTTestBroker]) -> MQTTTestBroker:
    """A broker of MQTT."""
    return make_mqtt()
