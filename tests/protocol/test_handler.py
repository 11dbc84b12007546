"""The contract of handlers: its defaults, and the shared handler."""

from __future__ import annotations

from functools import partial

import pytest

from speedo_trio.events import Cause, CloseReason
from speedo_trio.protocol.handler import (
    Connection,
    ProtocolHandler,
    ProtocolHandlerFactory,
    shared,
)
from speedo_trio.protocol.message import Message
from speedo_trio.testing.driver import FakeConnection


class Silent(ProtocolHandler):
    """Defines what it must and no more."""

    def handle(self, data: bytes) -> None:
        return None


def test_handler_keeps_its_connection() -> None:
    """Messages find it there."""
    connection = FakeConnection()

    assert Silent(connection).connection is connection


class Quiet(Silent):
    """Has a factory of its own."""

    @classmethod
    def made_for(cls, connection: Connection) -> Quiet:
        """Make it."""
        return cls(connection)


def test_defaults_do_nothing() -> None:
    """No greeting, no goodbye, no encoding; an error ends the connection."""
    handler = Silent(FakeConnection())

    assert handler.opened() is None
    assert handler.eof() is None
    assert handler.draining() is None
    assert handler.encoder() is None
    assert handler.failed(Message(), ValueError()) is None
    handler.closed(CloseReason(Cause.EOF))


def test_handler_must_handle() -> None:
    """What does nothing with its bytes is no protocol."""

    class Nothing(ProtocolHandler):
        pass

    with pytest.raises(TypeError, match="handle"):
        Nothing(FakeConnection())  # type: ignore[abstract]  # is what is tested


def test_class_is_its_own_factory() -> None:
    """As is any callable that takes a connection."""
    factories: list[ProtocolHandlerFactory] = [Silent, partial(Silent), Quiet.made_for]
    for factory in factories:
        connection: Connection = FakeConnection()

        assert isinstance(factory(connection), Silent)
        assert factory(connection).connection is connection


def test_shared_gives_everyone_the_same() -> None:
    """One handler for all connections."""
    handler = Silent(FakeConnection(id=1))
    factory = shared(handler)

    assert factory(FakeConnection(id=2)) is factory(FakeConnection(id=3)) is handler
