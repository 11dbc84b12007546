"""For the tests of those who write protocols or MQTT clients: serve in memory, or in a thread."""

from speedo_trio.testing.driver import Driver as Driver
from speedo_trio.testing.driver import FakeConnection as FakeConnection
from speedo_trio.testing.driver import check_splits as check_splits
from speedo_trio.testing.driver import every_split as every_split
from speedo_trio.testing.memory import MemoryServer as MemoryServer
from speedo_trio.testing.memory import serve_in_memory as serve_in_memory
from speedo_trio.testing.mqtt import MQTTTestBroker as MQTTTestBroker

__all__ = [
    "Driver",
    "FakeConnection",
    "MQTTTestBroker",
    "MemoryServer",
    "check_splits",
    "every_split",
    "serve_in_memory",
]
