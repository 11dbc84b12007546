"""SimplePub: publish and subscribe in four kinds of frames; `docs/simplepub.md` specifies it."""

from speedo_trio.simplepub.client import Client as Client
from speedo_trio.simplepub.client import connect as connect
from speedo_trio.simplepub.client import connect_stream as connect_stream

__all__ = [
    "Client",
    "connect",
    "connect_stream",
]
