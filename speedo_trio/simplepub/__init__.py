"""SimplePub: publish and subscribe in four kinds of frames; `docs/simplepub.md` specifies it."""

from speedo_trio.simplepub.protocol import SimplePub as SimplePub
from speedo_trio.simplepub.settings import SimplePubSettings as SimplePubSettings

__all__ = ["SimplePub", "SimplePubSettings"]
