"""The WebSocket: MQTT over it, and servers that speak something else."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import memory_stream_pair

from speedo_trio.mqtt import serve_mqtt
from speedo_trio.mqtt.client.client import connect
from speedo_trio.mqtt.client.login import Login
from speedo_trio.mqtt.client.websocket import WebSocketStream
from tests.mqtt.client.scene import PATIENCE

pytest.importorskip("wsproto")


@pytest.mark.parametrize("bind", ["ws://127.0.0.1:0/mqtt", "unix:{}/s", "tcp://127.0.0.1:0"])
async def test_an_exchange(bind: str, tmp_path: Path) -> None:
    """A client of ours at a server of ours, whatever is in between."""
    async with trio.open_nursery() as nursery:
        start = partial(serve_mqtt, bind.format(tmp_path), observer=None)
        server = await nursery.start(start)
        url = server.url + ("/mqtt" if bind.startswith("ws") else "")
        url = f"mqtt+{url}" if bind.startswith("unix") else url
        with trio.fail_after(PATIENCE):
            async with connect(url, Login(client_id="c")) as client:
                await client.subscribe("a", qos=2)
                await client.publish("a", bytes(300_000), qos=2)
                assert (await anext(client)).payload == bytes(300_000)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\n\r\n",
        b"\x20\x02\x00\x00",
        b"",
    ],
)
async def test_no_websocket(answer: bytes) -> None:
    """The stream is broken."""
    ours, theirs = memory_stream_pair()
    await theirs.send_all(answer)
    await theirs.send_stream.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await WebSocketStream(ours).open("host", "/")
