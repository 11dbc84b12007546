"""Stub."""

from __future__ import annotations

from collections.abc import Callable

from speedo_trio.events import WebSocketInfo
from speedo_trio.io.wire import Wire


class WebSocketWire(Wire):
    info: WebSocketInfo


def require_wsproto() -> None: ...
async def accept_websocket(
    below: Wire,
    *,
    path: str | None,
    choose: Callable[[tuple[str, ...]], str | None],
    limit: int = 1,
) -> WebSocketWire:
    raise NotImplementedError
