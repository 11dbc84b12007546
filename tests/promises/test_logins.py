"""A crowd that logs in with wrong passwords doesn't slow down who is in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from speedo_trio.mqtt.security.hashes import Scrypt
from speedo_trio.mqtt.wire.packets import PubAck
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from tests.mqtt.wired import Wired, publish

FLOOD = Path(__file__).with_name("logins.py")
RATE = 1000
PAUSE = 0.01
"""Seconds between two looks at how long an answer takes."""
ALLOWED = 0.050
"""Seconds that 99 of 100 answers may take."""


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[int]:
    """The command with a password file, in another process; its port."""
    (folder / "passwords").write_text(f"alice:{Scrypt.make(b'right')}\n")
    words = [sys.executable, "-m", "speedo_trio", "serve", "mqtt", "--bind", "tcp://127.0.0.1:0"]
    words += ["--mqtt.security.password-file", str(folder / "passwords")]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = await trio.lowlevel.open_process(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    assert process.stdout is not None
    try:
        line = bytes(await process.stdout.receive_some())
        yield int(line.rsplit(b":", 1)[1])
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        await trio.aclose_forcefully(process.stdout)


async def answer_times(client: Wired, over: trio.Event) -> list[float]:
    """How long each of many messages waits for its acknowledgement."""
    found = []
    while not over.is_set():
        began = trio.current_time()
        await client.send(publish("a", packet_id=1))
        await client.get(PubAck)
        found.append(trio.current_time() - began)
        await trio.sleep(PAUSE)
    return sorted(found)


@pytest.mark.soak
async def test_failed_logins_slow_down_nobody(tmp_path: Path, *, soak: bool) -> None:
    """A thousand failed logins a second: an answer to who is in takes less than 50 ms.

    For three seconds; ``SPEEDO_SOAK=1 pytest -m soak tests/promises`` takes a minute.
    """
    seconds = 60 if soak else 3
    async with serving(tmp_path) as port, trio.open_nursery() as nursery:
        client = Wired(await trio.open_tcp_stream("127.0.0.1", port))
        answer = await client.connect("in", user_name="alice", password=b"right")
        assert answer.reason is ReasonCode.SUCCESS
        over = trio.Event()
        refused: list[int] = []

        async def flood() -> None:
            words = [sys.executable, str(FLOOD), str(port), str(RATE), str(seconds)]
            done = await trio.run_process(words, capture_stdout=True)
            refused.append(int(done.stdout.split()[0]))
            over.set()

        nursery.start_soon(flood)
        times = await answer_times(client, over)
        await client.stream.aclose()

    worst = times[int(len(times) * 0.99)]
    assert refused[0] > RATE * seconds / 2
    assert worst < ALLOWED
