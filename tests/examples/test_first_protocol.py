"""The smallest protocol of one's own."""

from __future__ import annotations

import runpy
from types import ModuleType
from typing import Any

import pytest
import trio

import speedo_trio
from tests.examples.conftest import EXAMPLES, Connect


async def test_lines_come_back_in_capitals(
    example: ModuleType, connect: Connect, nursery: trio.Nursery
) -> None:
    """Each line is answered by itself in capitals, in order."""
    server = await nursery.start(speedo_trio.serve, example.ShoutProtocol, "tcp://127.0.0.1:0")

    async with connect(server.addresses[0].port) as peer:
        assert await peer.ask(b"hello\nhow are you?\r\n") == b"HELLO\nHOW ARE YOU?\n"


def test_the_program_serves_where_its_docstring_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as a program it listens on port 9292, which a test can't rely on to be free."""
    served: list[Any] = []
    monkeypatch.setattr(trio, "run", lambda *call: served.append(call))

    ran = runpy.run_path(str(EXAMPLES / "first_protocol.py"), run_name="__main__")

    assert served == [(speedo_trio.serve, ran["ShoutProtocol"], "tcp://localhost:9292")]
