"""A broker in a thread of this process, which clients of MQTT and SimplePub meet over sockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import trio

from speedo_trio import Address, ConnectionFailed, Event, serve
from speedo_trio.mqtt.hooks import NO_HOOKS, Hooks
from speedo_trio.mqtt.service import MQTT
from speedo_trio.mqtt.state.capabilities import Capabilities
from speedo_trio.server import Server
from speedo_trio.simplepub.protocol import SimplePub
from tests.judges.program import PATIENCE

T = TypeVar("T")


class MQTTBroker(AbstractContextManager["MQTTBroker"]):
    """A running broker; as a context manager it ends with its block.

    Its methods are for every thread but its own.
    """

    def __init__(
        self,
        binds: dict[str, str],
        capabilities: Capabilities | None = None,
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        """Serve MQTT on the binds, which have names, and SimplePub beside it, on one broker."""
        self._mqtt = MQTT(capabilities=capabilities, hooks=hooks)
        self._binds = binds
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._servers: list[Server] = []
        self._failures: list[str] = []
        self._up = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._run,))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(PATIENCE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.do(self._scope.cancel)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            async with trio.open_nursery() as nursery:
                for factory, binds in (
                    (self._mqtt, self._binds.values()),
                    (SimplePub(self._mqtt.broker), ("tcp://127.0.0.1:0",)),
                ):
                    serving = partial(serve, factory, *binds, observer=self._observe)
                    self._servers.append(await nursery.start(serving))
                self._up.set()

    def _observe(self, event: Event) -> None:
        if isinstance(event, ConnectionFailed):
            self._failures.append(f"{event.peer}: {event.reason}")

    def _address(self, bind: str) -> Address:
        return self._servers[0].addresses[list(self._binds).index(bind)]

    def port(self, bind: str = "tcp") -> int:
        """The port of a bind, by its name."""
        port = self._address(bind).port
        assert port is not None
        return port

    def path(self, bind: str) -> str | None:
        """The path of a bind's Unix socket, if it is one."""
        return self._address(bind).path or None

    @property
    def simplepub(self) -> str:
        """Where SimplePub is served."""
        return f"simplepub://127.0.0.1:{self._servers[1].addresses[0].port}"

    def do(self, function: Callable[[], T]) -> T:
        """Call a function in the broker's thread; what it gives."""
        return trio.from_thread.run_sync(function, trio_token=self._token)

    def drain(self) -> None:
        """Have the server of MQTT end in good order."""
        trio.from_thread.run(self._servers[0].drain, trio_token=self._token)

    def take_failures(self) -> list[str]:
        """The errors that have ended connections, since this was last asked."""
        taken, self._failures = self._failures, []
        return taken

    def until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait until something has happened, by asking again and again."""
        over = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < over, f"in vain: {what}"
            time.sleep(0.005)

    def subscribed(self, topic: str) -> int:
        """How many are subscribed to a topic."""
        return self.do(lambda: len(self._mqtt.broker.subscribers(topic)))

    def until_subscribed(self, topic: str, times: int = 1) -> None:
        """Wait until so many are subscribed to a topic."""
        self.until(lambda: self.subscribed(topic) >= times, f"{times} subscribed to {topic}")

    def until_retained(self, topic: str, payload: bytes | None) -> None:
        """Wait until this is retained for a topic; None: nothing."""
        retained = self._mqtt.broker.retained

        def happened() -> bool:
            kept = self.do(lambda: [message.payload for message in retained(topic)])
            return kept == ([] if payload is None else [payload])

        self.until(happened, f"{payload!r} is retained for {topic}")

    def waits_for(self, client_id: str) -> int | None:
        """How many messages wait for a client of MQTT; None: it is subscribed to nothing."""

        def find() -> int | None:
            everybody = self._mqtt.broker.subscribers()
            found = (each.waiting for each in everybody if each.name == f"mqtt {client_id}")
            return next(found, None)

        return self.do(find)
