"""Calls: hooks as they are called, in a thread or in the task that needs the answer, in time.

Next: `speedo_trio.mqtt.publishing`.
"""

from __future__ import annotations

import logging
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Final, TypeVar, cast

import trio

from speedo_trio.errors import HandlerError
from speedo_trio.mqtt.events import HookFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from speedo_trio.mqtt.events import MQTTEvent
    from speedo_trio.mqtt.hooks import Hooks
    from speedo_trio.mqtt.requests import ClientInfo

_GIVEN_UP: Final = 4
"""Threads that hang, and were given up, for each that works: their memory is the bound."""
LAST_SECONDS: Final = 1.0
"""How long what still waits for a hook may take, when the server has ended."""

TURNED_AWAY: Final = (
    "client %r at %s is refused, and so are all that show nobody who they are: allow_anonymous is "
    '"%s". "always" lets everybody in; a password file lets in those who are in it. This is told '
    "once"
)

_logger = logging.getLogger("speedo_trio.mqtt")

_OURS: Final = (trio.Cancelled, KeyboardInterrupt, GeneratorExit)

A = TypeVar("A")


class Threads:
    """Threads for hooks that block.

    Whoever is cancelled leaves its thread to itself. That counts no longer among those that work,
    so that hooks which hang don't stop others for ever; but there is a bound to those, too.
    """

    def __init__(self, count: int) -> None:
        self._turns = trio.CapacityLimiter(count)
        self._all = trio.CapacityLimiter(count * (1 + _GIVEN_UP))

    async def run(self, call: Callable[[], A]) -> A:
        """Call it in a thread, when it is its turn: first come, first served."""
        async with self._turns:
            return await trio.to_thread.run_sync(call, limiter=self._all, abandon_on_cancel=True)


def is_async(hook: Callable[..., object]) -> bool:
    """Whether it is an ``async def``, or has one to be called by."""
    return iscoroutinefunction(hook) or iscoroutinefunction(getattr(hook, "__call__", None))  # noqa: B004  # whether that is async


async def call_hook(hook: Callable[..., object], threads: Threads, *given: object) -> object:
    """Call a hook where it may be called. Raises what it raises.

    Raises:
        HandlerError: That is no `Exception`, such as SystemExit or the CancelledError of asyncio.
            It must not end more than this hook, and so the server.
    """
    try:
        if is_async(hook):
            return await cast("Awaitable[object]", hook(*given))
        return await threads.run(partial(hook, *given))
    except BaseException as error:
        if isinstance(error, Exception) or _is_ours(error):
            raise
        raise HandlerError(f"the hook raised {error!r}; allowed is an Exception") from error


def _is_ours(error: BaseException) -> bool:
    """Whether it is no fault of a hook: somebody ends what called it."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(_OURS) is not None
    return isinstance(error, _OURS)


class Calls:
    """The hooks of a service, each with its deadline. What goes wrong is told, and is no answer."""

    def __init__(self, hooks: Hooks, tell: Callable[[MQTTEvent], None] | None = None) -> None:
        """Args: the hooks, and who is told of those that fail, if anybody."""
        self.hooks: Final = hooks
        self.strangers: Final = Threads(hooks.threads)
        """For those who want to connect: they can't take the threads of those who have."""
        self.clients: Final = Threads(hooks.threads)
        """For those who have connected."""
        self._tell = tell
        self._warned = False

    async def ask(
        self,
        name: str,
        client: ClientInfo,
        call: Callable[[], Awaitable[object]],
        read: Callable[[object], A],
    ) -> A | None:
        """Call a hook and read its answer.

        Args:
            name: The hook's.
            client: Whose request it is.
            call: Calls it.
            read: Makes of the answer what is wanted; raises HandlerError if it is none.

        Returns:
            What `read` made; None when the hook failed, which has been told.
        """
        error: Exception
        try:
            with trio.move_on_after(self.hooks.deadline):
                return read(await call())
        except Exception as raised:  # noqa: BLE001  # whatever it is, it costs this request only
            error = raised
        else:
            error = TimeoutError(f"no answer within {self.hooks.deadline:g} s")
        self.failed(name, client, error)
        return None

    def turned_away(self, client: ClientInfo) -> None:
        """Tell, once, that a client was refused which only shows nobody who it is."""
        if not self._warned:
            self._warned = True
            _logger.warning(TURNED_AWAY, client.client_id, client.peer, self.hooks.allow_anonymous)

    def failed(self, name: str, client: ClientInfo, error: Exception) -> None:
        """Tell of a hook that failed."""
        _logger.error(
            "the hook %s failed for client %r at %s", name, client.client_id, client.peer,
            exc_info=error,
        )  # fmt: skip
        if self._tell is not None:
            self._tell(HookFailed(hook=name, client=client, error=error))


def no_answer(name: str, given: object, allowed: str) -> HandlerError:
    """The error of a hook that gave something else than an answer."""
    return HandlerError(f"{name} gave {given!r}; allowed is {allowed}")
