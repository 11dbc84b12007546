"""A server in a process of its own, for what can only be measured or limited there.

``python process.py CONFIG [DESCRIPTORS]``: CONFIG is JSON, sections of settings; the server gets no
more file descriptors than DESCRIPTORS. It prints its port, and serves lines: ``stats`` gives what
`Inside` has, ``big N`` that many bytes, ``fail`` raises, which the handler answers with as many
bytes as the line has; every other line comes back.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterable, Iterator

import trio
from attrs import asdict, frozen

from speedo_trio import (
    AcceptFailed,
    Config,
    Event,
    Limits,
    LineProtocol,
    Message,
    Server,
    Timeouts,
    Workers,
    serve,
)


@frozen(kw_only=True)
class Inside:
    """What goes on in the process."""

    made: int
    """Messages made."""
    executed: int
    waiting: int
    connections: int
    accept_failed: int
    """How often accepting failed for want of something."""
    memory: int
    """Bytes of memory that the process has now."""
    processor: float
    """Seconds of a processor that it has used."""


class Line(Message):
    """A line, and what it asks for."""

    __slots__ = ("line",)

    def __init__(self, line: bytes) -> None:
        self.line = line

    def execute(self) -> bytes:
        word, _, rest = self.line.partition(b" ")
        if word == b"big":
            return bytes(int(rest)).replace(b"\0", b"z")
        if word == b"fail":
            raise ValueError
        return self.line


class AsyncLine(Message):
    """A line that a task sends back."""

    __slots__ = ("line",)

    def __init__(self, line: bytes) -> None:
        self.line = line

    async def execute(self) -> bytes:
        return self.line


class Stats(Message):
    """Asks how it goes; async, since a server's methods are for the Trio thread."""

    __slots__ = ()

    async def execute(self) -> bytes:
        return json.dumps(asdict(_Here.inside())).encode()


class Lines(LineProtocol):
    """Counts the messages that it makes."""

    limit = 2**26

    def frame(self, line: bytes) -> Message:
        _Here.made += 1
        if line == b"stats":
            return Stats()
        return AsyncLine(line) if line.startswith(b"async") else Line(line)

    def handle(self, data: bytes) -> Iterator[Message]:
        messages: Iterable[Message] | None = super().handle(data)
        yield from messages or ()

    def failed(self, message: Message, error: BaseException) -> bytes:
        assert isinstance(message, Line)
        return message.line


class Short(Lines):
    """With the limit that lines have if nobody sets one."""

    limit = LineProtocol.limit


class _Here:
    made = 0
    accept_failed = 0
    server: Server
    statm = os.open("/proc/self/statm", os.O_RDONLY)  # now: later there may be no descriptor left

    @classmethod
    def inside(cls) -> Inside:
        stats = cls.server.stats()
        pages = int(os.pread(cls.statm, 200, 0).split()[1])
        used = resource.getrusage(resource.RUSAGE_SELF)
        return Inside(
            made=cls.made,
            executed=stats.executed,
            waiting=stats.waiting,
            connections=stats.connections,
            accept_failed=cls.accept_failed,
            memory=pages * resource.getpagesize(),
            processor=used.ru_utime + used.ru_stime,
        )

    @classmethod
    def observe(cls, event: Event) -> None:
        cls.accept_failed += isinstance(event, AcceptFailed)


async def main(config: Config, kind: type[Lines]) -> None:
    """Serve until killed."""
    async with trio.open_nursery() as nursery:

        async def start(task_status: trio.TaskStatus[Server]) -> None:
            await serve(
                kind,
                "tcp://127.0.0.1:0",
                config=config,
                observer=_Here.observe,
                task_status=task_status,
            )

        _Here.server = await nursery.start(start)
        sys.stdout.write(f"{_Here.server.addresses[0].port}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sections = json.loads(sys.argv[1])
    settings = Config(
        limits=Limits(**sections.get("limits", {})),
        timeouts=Timeouts(**sections.get("timeouts", {})),
        workers=Workers(**sections.get("workers", {})),
    )
    if len(sys.argv) > 2:
        descriptors = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    trio.run(main, settings, Short if sections.get("short") else Lines)
