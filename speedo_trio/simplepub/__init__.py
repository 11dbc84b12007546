"""SimplePub: publish and subscribe in four kinds of frames; `docs/simplepub.md` specifies it."""

from speedo_trio.simplepub.client import Client as Client
from speedo_trio.simplepub.client import connect as connect
from speedo_trio.simplepub.client import connect_stream as connect_stream
from speedo_trio.simplepub.protocol import SimplePub as SimplePub
from speedo_trio.simplepub.settings import SimplePubSettings as SimplePubSettings

__all__ = [
    "Client",
    "SimplePub",
    "SimplePubSettings",
    "connect",
    "connect_stream",
]
