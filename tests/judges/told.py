"""What a server is told of its clients: a server in this process, and clients from anywhere."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import evolve

from speedo_trio import Config, Event, Listening
from speedo_trio.logs.event_log import EventLog
from tests.judges.program import PATIENCE
from tests.judges.tell import Tell
from tests.promises.scene import QUICK, Peer, Stage, serving


@asynccontextmanager
async def telling(bind: str = "tcp+proxy://127.0.0.1:0", **sections: Any) -> AsyncIterator[Stage]:
    """Run a server that tells its clients who they are, with sections of settings.

    Its events are in the stage's record, and in the log.
    """
    events: list[Event] = []
    log = EventLog()

    def observe(event: Event) -> None:
        events.append(event)
        log(event)

    config: Config = evolve(QUICK, **sections)
    async with serving(
        factory=Tell, bind=bind, config=config, observer=observe, patience=PATIENCE
    ) as stage:
        stage.record.events = events
        yield stage


def back(stage: Stage) -> str:
    """The server's first address, as HAProxy writes it."""
    address = stage.server.addresses[0]
    return f"{address.host}:{address.port}" if address.port else f"unix@{address.path}"


async def client(stage: Stage, port: int, source: str = "127.0.0.5", host: str = "") -> Peer:
    """A client with this address that connects to a port."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    connecting = trio.socket.socket(family)
    peer = Peer(trio.SocketStream(connecting))
    stage.peers.append(peer)
    await connecting.bind((source, 0))
    await connecting.connect((host or ("::1" if ":" in source else "127.0.0.1"), port))
    return peer


async def ask(peer: Peer) -> dict[str, Any]:
    """What the server knows of the client."""
    await peer.send(b"who am I?\n")
    known: dict[str, Any] = json.loads(await peer.line())
    return known


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a server of `telling` has told its operator, beside where it listens."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.INFO
        and not isinstance(getattr(record, "event", None), Listening)
    ]
