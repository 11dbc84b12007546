"""A server in memory: the whole of it, without sockets."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import trio
import trio.testing

from speedo_trio.server import DEFAULT_CONFIG, DEFAULT_OBSERVER, Server, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from speedo_trio.config import Config
    from speedo_trio.events import Observer
    from speedo_trio.protocol.handler import ProtocolHandlerFactory

    MemoryStream: TypeAlias = trio.StapledStream[
        trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream
    ]
    LockstepStream: TypeAlias = trio.StapledStream[trio.abc.SendStream, trio.abc.ReceiveStream]

_Stream = TypeVar("_Stream", bound=trio.abc.Stream)


class MemoryServer:
    """A running server that is reached by `connect`; `server` is the `Server` itself."""

    def __init__(self, server: Server, nursery: trio.Nursery) -> None:
        self.server = server
        self._nursery = nursery

    def connect(self) -> MemoryStream:
        """A new connection's client end. Its buffers are unbounded, so it shows no backpressure."""
        client, peer = trio.testing.memory_stream_pair()
        return self.attach(client, peer)

    def connect_lockstep(self) -> LockstepStream:
        """A new connection's client end without any buffer: each send waits for a receive."""
        client, peer = trio.testing.lockstep_stream_pair()
        return self.attach(client, peer)

    def attach(self, client: _Stream, peer: trio.abc.Stream) -> _Stream:
        """Have the server serve `peer`; gives `client` back."""
        self._nursery.start_soon(self.server.serve_stream, peer)
        return client


@asynccontextmanager
async def serve_in_memory(
    factory: ProtocolHandlerFactory,
    config: Config = DEFAULT_CONFIG,
    observer: Observer | None = DEFAULT_OBSERVER,
) -> AsyncIterator[MemoryServer]:
    r"""Run a server for the block; at its end the server is stopped hard.

    ::

        async with serve_in_memory(EchoProtocol) as server:
            client = server.connect()
            await client.send_all(b"hello\n")
            assert await client.receive_some() == b"hello\n"
    """
    async with trio.open_nursery() as nursery:
        start = partial(serve, factory, config=config, observer=observer)
        server: Server = await nursery.start(start)
        yield MemoryServer(server, nursery)
        nursery.cancel_scope.cancel()
