"""Shared sockets: what children are told of them, and what is left of them at the end."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import trio

from speedo_trio.cli.sockets import SharedSockets
from speedo_trio.errors import BindError


async def test_binds_become_descriptors() -> None:
    """The layers stay; each address is one."""
    shared = await SharedSockets.open(["ws://localhost:0/chat", "tcp://127.0.0.1:0"], 10)
    one, two, three = shared.descriptors
    try:
        assert shared.binds == (
            f"fd+ws://{one}?path=/chat",
            f"fd+ws://{two}?path=/chat",
            f"fd://{three}",
        )
        assert min(shared.descriptors) > 2
        assert not any(map(os.get_inheritable, shared.descriptors))
    finally:
        shared.close()


async def test_all_or_nothing(tmp_path: Path) -> None:
    """When one can't be opened, the others are closed, and their files are gone."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BindError):
            await SharedSockets.open([f"unix:{tmp_path}/a", f"tcp://127.0.0.1:{port}"], 10)

    assert not await trio.Path(tmp_path, "a").exists()


async def test_who_is_queued_stays_and_nobody_comes(tmp_path: Path) -> None:
    """Hushed, the queue can be emptied."""
    shared = await SharedSockets.open([f"unix:{tmp_path}/a"], 10)
    ours = socket.socket(fileno=os.dup(shared.descriptors[0]))
    with ours, socket.socket(socket.AF_UNIX) as early, socket.socket(socket.AF_UNIX) as late:
        early.connect(f"{tmp_path}/a")
        shared.hush()
        late.setblocking(False)
        with pytest.raises(BlockingIOError):
            late.connect(f"{tmp_path}/a")
        ours.accept()[0].close()
        shared.close()


async def test_what_was_passed_is_left_as_it_is(tmp_path: Path) -> None:
    """It is somebody else's, and goes on: neither hushed, nor is its file removed."""
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(f"{tmp_path}/a")
        passed.listen(10)
        number = os.dup(passed.fileno())
        shared = await SharedSockets.open([f"fd://{number}"], 10)
        assert shared.binds == (f"fd://{number}",)
        shared.hush()
        shared.close()
        shared.close()
        clients = [socket.socket(socket.AF_UNIX) for _ in range(5)]
        for client in clients:
            client.connect(f"{tmp_path}/a")
            client.close()
