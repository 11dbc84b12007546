"""An echo server that tells how it goes.

`python -m benchmarks.attacked PORT [SETTING=VALUE …] [BIND …]`

It serves on PORT of the loopback interface, and on the binds. The line ``stats`` is answered with a
JSON object, which `Inside` reads; every other line comes back. After SIGTERM it drains, and writes
the report to standard error.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import asdict, evolve, frozen

from speedo_trio import Config, EchoProtocol, Message, Server, serve
from speedo_trio.cli.tuning import tune

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speedo_trio.echo import EchoMessage


@frozen(kw_only=True)
class Inside:
    """What goes on in the server."""

    ports: list[int]
    """Where it listens: PORT, then those of the binds."""
    connections: int
    accepted: int
    refused: int
    closed: dict[str, int]
    """Connections that have ended, by the name of the cause."""
    lines: int
    """Lines that the log has."""


class Stats(Message):
    """Asks how it goes; async, since a server's methods are for the Trio thread."""

    async def execute(self) -> bytes:
        stats = _Here.server.stats()
        inside = Inside(
            ports=[address.port for address in _Here.server.addresses],
            connections=stats.connections,
            accepted=stats.accepted,
            refused=stats.refused,
            closed={cause.name: count for cause, count in stats.closed.items()},
            lines=_Here.log.lines,
        )
        return json.dumps(asdict(inside)).encode()


class WatchedEcho(EchoProtocol):
    """An echo that also tells how it goes."""

    def frame(self, payload: bytes) -> EchoMessage | Stats:  # type: ignore[override]  # one more
        return Stats() if payload == b"stats" else super().frame(payload)


class CountingHandler(logging.StreamHandler):  # type: ignore[type-arg]  # to standard error
    """Writes to standard error and counts the lines, those of tracebacks included."""

    lines = 0

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        self.lines += text.count("\n") + 1
        return text


class _Here:
    server: Server
    log = CountingHandler()


def configured(words: Iterable[str]) -> Config:
    """The settings that words such as ``limits.connections=100`` mean."""
    config = Config()
    for word in words:
        name, _, value = word.partition("=")
        section, _, name = name.partition(".")
        changed = evolve(getattr(config, section), **{name: json.loads(value)})
        config = evolve(config, **{section: changed})
    return config


async def _serve(config: Config, binds: list[str]) -> None:
    async with trio.open_nursery() as nursery:
        _Here.server = await nursery.start(partial(serve, WatchedEcho, *binds, config=config))
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            async for _ in signals:
                await _Here.server.drain()
                break


def main(port: str, *words: str) -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.INFO, handlers=[_Here.log])
    binds = [word for word in words if ":" in word]
    settings = [word for word in words if word not in binds]
    tune()  # as the command does
    trio.run(_serve, configured(settings), [f"tcp://127.0.0.1:{port}", *binds])


if __name__ == "__main__":
    main(*sys.argv[1:])
