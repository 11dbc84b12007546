"""TLS: the files of a certificate."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class TLSFiles:
    """The files that TLS is made from."""

    cert: str
    key: str | None = None
    ca: str | None = None
    alpn: tuple[str, ...] = ()


import ssl

from speedo_trio.events import TLSInfo
from speedo_trio.io.wire import Wire


class TLSWire(Wire):
    info: TLSInfo


def server_context(files: TLSFiles) -> ssl.SSLContext:
    raise NotImplementedError


async def accept_tls(below: Wire, context: ssl.SSLContext) -> TLSWire:
    raise NotImplementedError
