"""Our own client of MQTT, judged by mosquitto: as the server, and as the other side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from speedo_trio.errors import ConnectionLost
from speedo_trio.mqtt.client.client import connect
from speedo_trio.mqtt.client.login import Login
from speedo_trio.mqtt.client.memory import Memory
from speedo_trio.mqtt.wire.packets import Will
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from tests.judges.conftest import Ends
from tests.judges.mosquitto import Mosquitto, MosquittoBroker, publish
from tests.judges.program import PATIENCE
from tests.outside import need

need("mosquitto", "mosquitto_sub", "mosquitto_pub")

every_version = pytest.mark.parametrize("version", Version)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MosquittoBroker]:
    """mosquitto as the broker."""
    with MosquittoBroker(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker


@every_version
async def test_both_ways(theirs: MosquittoBroker, ends: Ends, topic: str, version: Version) -> None:
    """Each QoS, to its clients and from them."""
    how = ("-t", f"{topic}/#", "-q", "2", "-F", "%q %r %p", "-d")
    subscriber = ends(Mosquitto(theirs, "sub", *how))
    await trio.to_thread.run_sync(subscriber.wait_for, "Subscribed")
    with trio.fail_after(PATIENCE):
        async with connect(theirs.url, Login(client_id=topic, version=version)) as client:
            for qos in (0, 1, 2):
                reason = await client.publish(topic, b"hello", qos=qos)
                assert reason < 0x80
            await client.subscribe(topic, qos=2)
            for qos in (0, 1, 2):
                options = ("-t", topic, "-q", str(qos), "-m", "world")
                await trio.to_thread.run_sync(lambda: publish(theirs, *options))  # noqa: B023  # it is over in this turn
                message = await anext(client)
                assert (message.qos, message.payload) == (qos, b"world")
    await trio.to_thread.run_sync(
        subscriber.wait_for, "0 0 hello\n(.*\n)*1 0 hello\n(.*\n)*2 0 hello"
    )


async def test_properties(theirs: MosquittoBroker, ends: Ends, topic: str) -> None:
    """User properties arrive in their order."""
    how = ("-t", topic, "-C", "1", "-V", "5", "-F", "%P", "-d")
    subscriber = ends(Mosquitto(theirs, "sub", *how))
    await trio.to_thread.run_sync(subscriber.wait_for, "Subscribed")
    pairs = (("a", "1"), ("b", "2"), ("a", "3"))
    async with connect(theirs.url, Login(client_id=topic)) as client:
        await client.publish(topic, b"x", properties=Properties(user=pairs))

    await trio.to_thread.run_sync(subscriber.wait_for, "a:1 b:2 a:3")


@every_version
async def test_a_session_that_stays(theirs: MosquittoBroker, topic: str, version: Version) -> None:
    """What came meanwhile is there; what was not acknowledged comes again, with DUP."""
    five = version is Version.MQTT_5_0
    login = Login(
        client_id=topic, version=version, clean_start=False, session_expiry=60 if five else 0
    )
    memory = Memory()
    with trio.fail_after(PATIENCE):
        async with connect(theirs.url, login, memory=memory, acknowledges=False) as client:
            await client.subscribe(topic, qos=2)
            await client.publish(topic, b"1", qos=2)
            assert (await anext(client)).payload == b"1"
        options = ("-t", topic, "-q", "1", "-m", "2")
        await trio.to_thread.run_sync(lambda: publish(theirs, *options))
        async with connect(theirs.url, login, memory=memory) as client:
            assert client.session_present == (version is not Version.MQTT_3_1)
            first, second = await anext(client), await anext(client)
            assert (first.payload, first.dup, second.payload) == (b"1", True, b"2")


@every_version
async def test_a_will(theirs: MosquittoBroker, topic: str, version: Version) -> None:
    """It is published when the client goes without a goodbye, and only then."""
    will = Will(topic.encode(), b"gone", 1)
    with trio.fail_after(PATIENCE):
        async with connect(theirs.url, Login(client_id=f"{topic}w", version=version)) as watcher:
            await watcher.subscribe(topic, qos=1)
            login = Login(client_id=topic, version=version, will=will)
            async with connect(theirs.url, login):
                pass
            with pytest.raises(ZeroDivisionError):
                async with connect(theirs.url, login):
                    raise ZeroDivisionError
            assert (await anext(watcher)).payload == b"gone"
            await watcher.publish(topic, b"next")
            assert (await anext(watcher)).payload == b"next"


async def test_a_filter_that_is_refused(tmp_path: Path, topic: str) -> None:
    """mosquitto tells clients of 5.0 that they may not publish."""
    (tmp_path / "acl").write_text("topic read #\n")
    with MosquittoBroker(tmp_path, f"acl_file {tmp_path / 'acl'}") as broker:
        async with connect(broker.url, Login(client_id=topic)) as client:
            assert await client.publish("a", b"", qos=1) == ReasonCode.NOT_AUTHORIZED


async def test_a_server_that_is_killed(tmp_path: Path, topic: str) -> None:
    """Calls that wait end, with a reason."""
    with MosquittoBroker(tmp_path) as broker, trio.fail_after(PATIENCE):
        async with connect(broker.url, Login(client_id=topic)) as client:
            broker.kill()
            with pytest.raises(ConnectionLost):
                await anext(client)
