"""Messages: which kind of worker executes them."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from speedo_trio.errors import HandlerError
from speedo_trio.protocol.message import Message, no_message, wrong_reply


class Sync(Message):
    """Runs in a thread."""

    def execute(self) -> bytes:
        return b"sync"


class Async(Message):
    """Runs in a task."""

    async def execute(self) -> bytes:
        return b"async"


class Heir(Async):
    """Runs as what it inherits."""


class SyncHeir(Async):
    """Runs as what it defines."""

    def execute(self) -> bytes:  # type: ignore[override]  # it may
        return b"sync again"


@attrs.define
class Slotted(Message):
    """Is made twice, by attrs."""

    reply: bytes

    async def execute(self) -> bytes:
        return self.reply


@attrs.frozen
class SyncSlotted(Message):
    """As is this."""

    reply: bytes

    def execute(self) -> bytes:
        return self.reply


class Mixin:
    """Defines execute() without being a message."""

    async def execute(self) -> bytes:
        return b"mixed in"


class Mixed(Mixin, Message):
    """Takes it from there."""


def logged(execute: Callable[[Any], Awaitable[bytes]]) -> Callable[[Any], Awaitable[bytes]]:
    """A decorator as users write them."""

    @functools.wraps(execute)
    async def wrapper(self: Message) -> bytes:
        return await execute(self)

    return wrapper


class Decorated(Message):
    """Has its execute() wrapped."""

    @logged
    async def execute(self) -> bytes:
        return b"decorated"


@pytest.mark.parametrize(
    ("kind", "runs_async"),
    [
        (Message, False),
        (Sync, False),
        (Async, True),
        (Heir, True),
        (SyncHeir, False),
        (Slotted, True),
        (SyncSlotted, False),
        (Mixed, True),
        (Decorated, True),
    ],
)
def test_runs_async_follows_execute(kind: type[Message], *, runs_async: bool) -> None:
    """An async def runs in a task, a def in a thread, wherever it was defined."""
    assert kind.runs_async is runs_async


def test_message_without_execute_says_so() -> None:
    """Its class is named."""

    class Empty(Message):
        pass

    with pytest.raises(NotImplementedError, match="Empty"):
        Empty().execute()


def test_messages_are_small() -> None:
    """A slotted subclass has no dict: one is made for every message."""
    assert not hasattr(Message(), "__dict__")
    assert not hasattr(Slotted(b""), "__dict__")


def test_subclass_arguments_reach_a_mixin() -> None:
    """Message hands on what it doesn't know."""
    seen: dict[str, object] = {}

    class Registered:
        def __init_subclass__(cls, **kwargs: object) -> None:
            seen.update(kwargs)

    class Command(Message, Registered, name="add"):
        async def execute(self) -> None:
            return None

    assert seen == {"name": "add"}
    assert Command.runs_async


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            wrong_reply(Sync(), "text"),
            "the reply of Sync is str; allowed are bytes, or None for no reply",
        ),
        (
            wrong_reply(Sync(), 3, "encoded "),
            "the encoded reply of Sync is int; allowed are bytes, or None for no reply",
        ),
        (no_message("text"), "the handler gave str 'text'; allowed is a Message"),
    ],
)
def test_errors_say_what_was_seen_and_what_is_allowed(error: HandlerError, text: str) -> None:
    """And name the class at fault."""
    assert isinstance(error, HandlerError)
    assert str(error) == text
