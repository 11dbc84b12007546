"""The schemes: which protocols ``pub`` and ``sub`` speak, by the beginning of a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from speedo_trio.errors import ConfigError

if TYPE_CHECKING:
    import ssl
    from contextlib import AbstractAsyncContextManager

    from speedo_trio.cli.pubsub.contract import Connect, Connection, PubSubClient


@frozen
class _Scheme:
    """What the beginning of a URL stands for."""

    connect: Connect
    secure: bool = False
    mqtt: bool = False
    """Whether the flags of MQTT are for it."""


def _simplepub(
    plan: Connection, context: ssl.SSLContext | None
) -> AbstractAsyncContextManager[PubSubClient]:
    from speedo_trio.simplepub.client import connect  # noqa: PLC0415  # for those who want it

    return connect(plan.url, ssl_context=context)


def _mqtt(
    plan: Connection, context: ssl.SSLContext | None
) -> AbstractAsyncContextManager[PubSubClient]:
    from speedo_trio.cli.pubsub.mqtt import connect_mqtt  # noqa: PLC0415  # the same

    return connect_mqtt(plan, context)


SCHEMES: dict[str, _Scheme] = {
    "simplepub": _Scheme(_simplepub),
    "simplepub+tls": _Scheme(_simplepub, secure=True),
    "simplepub+unix": _Scheme(_simplepub),
    "mqtt": _Scheme(_mqtt, mqtt=True),
    "mqtts": _Scheme(_mqtt, secure=True, mqtt=True),
    "mqtt+unix": _Scheme(_mqtt, mqtt=True),
    "ws": _Scheme(_mqtt, mqtt=True),
    "wss": _Scheme(_mqtt, secure=True, mqtt=True),
}
"""The protocols that ``pub`` and ``sub`` speak, by the scheme of the URL."""

SECURE = ", ".join(f"{name}://" for name, scheme in SCHEMES.items() if scheme.secure)
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
