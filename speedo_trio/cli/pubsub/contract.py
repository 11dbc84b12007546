"""The contract: what a protocol's client must do for ``pub`` and ``sub``, and which there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from attrs import frozen

from speedo_trio.errors import ConfigError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    Connect: TypeAlias = Callable[
        [str, ssl.SSLContext | None], AbstractAsyncContextManager["PubSubClient"]
    ]


class Received(Protocol):
    """A message that a subscriber got."""

    @property
    def topic(self) -> str:
        """What it was published under."""

    @property
    def payload(self) -> bytes:
        """Its body."""

    @property
    def retain(self) -> bool:
        """Whether it was kept from before the subscription."""


class PubSubClient(Protocol):
    """A connected client, whatever its protocol is.

    What ends the connection is a `speedo_trio.ConnectionClosed` or `speedo_trio.ProtocolError`,
    in all calls and in the iteration.
    """

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Hand a message to the network. A topic that is not allowed raises `TopicError`."""

    async def subscribe(self, *filters: str) -> None:
        """Return when the server has subscribed to the filters, or raise as `publish`."""

    async def ping(self) -> None:
        """Return when the server has done all that was sent before."""

    def __aiter__(self) -> AsyncIterator[Received]:
        """Give the messages that come, and then raise what ended the connection."""


@frozen
class _Scheme:
    """What the beginning of a URL stands for."""

    connect: Connect
    secure: bool = False


def _simplepub(
    url: str, context: ssl.SSLContext | None
) -> AbstractAsyncContextManager[PubSubClient]:
    from speedo_trio.simplepub.client import connect  # noqa: PLC0415  # for those who want it

    return connect(url, ssl_context=context)


SCHEMES: dict[str, _Scheme] = {
    "simplepub": _Scheme(_simplepub),
    "simplepub+tls": _Scheme(_simplepub, secure=True),
    "simplepub+unix": _Scheme(_simplepub),
}
"""The protocols that ``pub`` and ``sub`` speak, by the scheme of the URL."""

SECURE = " and ".join(f"{name}://" for name, scheme in SCHEMES.items() if scheme.secure)
"""The schemes with TLS, for people."""


def scheme_of(url: str) -> _Scheme:
    """What speaks to the server of that URL.

    Raises:
        ConfigError: nothing does; the text tells what is allowed.
    """
    scheme = SCHEMES.get(url.partition(":")[0])
    if scheme is None:
        raise ConfigError(f"--url is {url!r}; allowed are URLs of {', '.join(SCHEMES)}")
    return scheme
