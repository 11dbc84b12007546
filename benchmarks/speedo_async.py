"""Echo on speedo_trio with messages that need no thread: an `async def execute`.

    trio-speedo serve benchmarks.speedo_async:AsyncEcho --bind tcp://localhost:9292

The row beside the default echo, whose messages execute in worker threads.
"""

from __future__ import annotations

from attrs import define

from speedo_trio import LineProtocol, Message


@define
class AsyncEchoMessage(Message):
    """Replies with its line."""

    line: bytes

    async def execute(self) -> bytes:
        return self.line


class AsyncEcho(LineProtocol):
    """Makes a message of each line."""

    def frame(self, payload: bytes) -> Message:
        return AsyncEchoMessage(payload)
