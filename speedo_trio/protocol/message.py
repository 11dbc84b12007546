"""A message: one thing that a peer asked for, and what executes it.

Next: `speedo_trio.protocol.report`.
"""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from speedo_trio.errors import HandlerError

if TYPE_CHECKING:
    from collections.abc import Awaitable

Reply: TypeAlias = bytes | None
"""What executing a message gives: the bytes to send back, or None for no reply."""


class Message:
    """One unit of work that a protocol handler made out of a peer's bytes.

    Write ``def execute`` and it runs in a worker thread, where it may block; write ``async def
    execute`` and it runs in a Trio worker task, where it may await. Both kinds mix freely: the
    messages of one connection execute one after another, in arrival order, and their replies
    leave in that order.

    Subclasses are best small attrs classes with slots; one is made for every message::

        @attrs.define
        class Add(Message):
            left: int
            right: int

            def execute(self) -> bytes:
                return b"%d" % (self.left + self.right)
    """

    __slots__ = ()

    runs_async: ClassVar[bool] = False
    """Whether `execute` is an ``async def``; set when the subclass is made."""

    def __init_subclass__(cls, **kwargs: Any) -> None:  # Any: whatever a mix-in takes
        super().__init_subclass__(**kwargs)
        cls.runs_async = iscoroutinefunction(cls.execute)

    def execute(self) -> Reply | Awaitable[Reply]:
        """Do the work and give the reply.

        Returns:
            The reply, which the connection's protocol encodes and sends; None for no reply.

        Raises:
            BaseException: ends this connection only, unless the handler's `failed` turns the
                error into a reply. Later messages of the connection are then dropped.

        On cancel: an async message sees `trio.Cancelled` when its connection is lost or aborted
        and when a drain's grace is over. A message in a thread is never interrupted; it is
        awaited, and abandoned once a drain's ``kill_after`` has passed.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no execute()")


def wrong_reply(message: Message, reply: object, which: str = "") -> HandlerError:
    """The error of a message whose reply, as it gave it or "encoded ", is not bytes."""
    return HandlerError(
        f"the {which}reply of {type(message).__name__} is {type(reply).__name__}; "
        "allowed are bytes, or None for no reply"
    )


def no_message(given: object) -> HandlerError:
    """The error of a handler that gave something else than a message."""
    return HandlerError(f"the handler gave {type(given).__name__} {given!r}; allowed is a Message")
