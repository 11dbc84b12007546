"""A server in another process, as these tests see it; `process` is what runs there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import define, field

from tests.promises.process import Inside
from tests.promises.scene import PATIENCE, Peer, connect

PROGRAM = Path(__file__).with_name("process.py")


@define(eq=False)
class Apart:
    """The server, by its port, and by a peer that asks it how it goes."""

    port: int
    peers: list[Peer] = field(factory=list)
    _control: Peer | None = None

    async def peer(self, receive_buffer: int | None = None) -> Peer:
        peer = await connect(("127.0.0.1", self.port), receive_buffer)
        self.peers.append(peer)
        return peer

    async def inside(self) -> Inside:
        """What goes on in the server."""
        if self._control is None:
            self._control = await self.peer()
        await self._control.send(b"stats\n")
        return Inside(**json.loads(await self._control.line()))


@asynccontextmanager
async def serving_apart(
    *,
    descriptors: int | None = None,
    short: bool = False,
    patience: float = PATIENCE,
    **sections: Mapping[str, object],
) -> AsyncIterator[Apart]:
    """Run a server in another process for the block, warmed up; then kill it.

    Args:
        descriptors: how many file descriptors the process may have.
        short: whether lines may only have the usual length.
        patience: seconds after which the test fails.
        sections: the settings, by section.
    """
    words = [sys.executable, str(PROGRAM), json.dumps(sections | {"short": short})]
    if descriptors is not None:
        words.append(str(descriptors))
    with trio.move_on_after(patience) as deadline:
        process = await trio.lowlevel.open_process(words, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            apart = Apart(int(await process.stdout.receive_some()))
            try:
                await apart.inside()
                yield apart
            finally:
                for peer in apart.peers:
                    peer.close()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            await trio.aclose_forcefully(process.stdout)
    if deadline.cancelled_caught:
        pytest.fail(f"it took more than {patience:g} s")
