"""The pytest plugin, in a project of its own."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

import pytest_speedo_trio

pytest_plugins = ["pytester"]

TREE = Path(__file__).parents[2]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder where the plugin is found by its entry point, whatever is installed."""
    table = tomllib.loads((TREE / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    site = pytester.mkdir("site")
    metadata = site / "speedo_plugin-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: speedo-plugin\nVersion: 0\n")
    lines = "".join(f"{name} = {module}\n" for name, module in table["pytest11"].items())
    (metadata / "entry_points.txt").write_text(f"[pytest11]\n{lines}")
    plugin = Path(pytest_speedo_trio.__file__).parent
    path = [str(site), str(plugin), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    return pytester


def passed(project: pytest.Pytester, *words: str) -> int:
    """How many tests passed; none did anything else."""
    result = project.runpytest_subprocess("-q", *words)
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed"}, result.outlines
    return outcomes["passed"]


def test_it_costs_nothing_where_it_is_not_used(project: pytest.Pytester) -> None:
    """The package isn't even imported."""
    project.makepyfile("""
        import sys

        def test_nothing(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("speedo_trio")
            assert "speedo_trio" not in sys.modules
    """)
    assert passed(project) == 1


def test_brokers_for_tests(project: pytest.Pytester) -> None:
    """In plain tests, in those of asyncio, and in those of Trio; each has its own."""
    project.makepyfile("""
        import asyncio
        import socket
        import threading

        import pytest
        import trio

        CONNECT = bytes([0x10, 13, 0, 4]) + b"MQTT" + bytes([4, 2, 0, 0, 0, 1]) + b"c"
        PUBLISH = bytes([0x30, 4, 0, 1]) + b"a" + b"1"

        def test_plain(mqtt_broker):
            with socket.create_connection(("localhost", mqtt_broker.port)) as client:
                client.sendall(CONNECT + PUBLISH)
                message = mqtt_broker.wait_for_message("a")
            assert (message.payload, message.client_id) == (b"1", "c")

        def test_asyncio(mqtt_broker):
            async def main():
                reader, writer = await asyncio.open_connection("localhost", mqtt_broker.port)
                writer.write(CONNECT + PUBLISH)
                message = await asyncio.to_thread(mqtt_broker.wait_for_message, "a")
                writer.close()
                await writer.wait_closed()
                return message

            assert asyncio.run(main()).payload == b"1"

        @pytest.mark.trio
        async def test_trio(mqtt_broker):
            async with await trio.open_tcp_stream("localhost", mqtt_broker.port) as client:
                await client.send_all(CONNECT + PUBLISH)
                message = await trio.to_thread.run_sync(mqtt_broker.wait_for_message, "a")
            assert message.payload == b"1"

        def test_it_is_new(mqtt_broker):
            assert mqtt_broker.messages() == []

        def test_options(make_mqtt_broker, mqtt_broker):
            from speedo_trio.mqtt import Capabilities

            one = make_mqtt_broker(capabilities=Capabilities(maximum_qos=0))
            two = make_mqtt_broker("tcp://127.0.0.1:0")
            assert len({one.port, two.port, mqtt_broker.port}) == 3
            assert one.server.mqtt.capabilities.maximum_qos == 0

        def test_a_client_that_stays(mqtt_broker):
            pytest.client = socket.create_connection(("localhost", mqtt_broker.port))
            pytest.client.sendall(CONNECT)
            mqtt_broker.wait_for_client("c")

        def test_nothing_is_left():
            pytest.client.close()
            assert "mqtt" not in {each.name for each in threading.enumerate()}
    """)
    assert passed(project) == 7
