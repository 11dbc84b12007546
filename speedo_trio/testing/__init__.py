"""For the tests of those who write protocols: drive a handler by hand, serve it in memory."""

from speedo_trio.testing.driver import Driver as Driver
from speedo_trio.testing.driver import FakeConnection as FakeConnection
from speedo_trio.testing.driver import check_splits as check_splits
from speedo_trio.testing.driver import every_split as every_split
from speedo_trio.testing.memory import MemoryServer as MemoryServer
from speedo_trio.testing.memory import serve_in_memory as serve_in_memory

__all__ = [
    "Driver",
    "FakeConnection",
    "MemoryServer",
    "check_splits",
    "every_split",
    "serve_in_memory",
]
