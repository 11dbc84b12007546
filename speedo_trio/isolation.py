"""Which part of an exception is a handler's or message's own, and so costs its connection only."""

from __future__ import annotations

import trio

_NOT_ITS_OWN = (trio.Cancelled, KeyboardInterrupt)


def own_error(error: BaseException) -> BaseException | None:
    """What of `error` the code that raised it answers for.

    Everything is its own, `SystemExit` and the odd `BaseException` of a foreign library
    included; only cancellation and the user's interrupt are not. A group that mixes them, as a
    nursery raises it when a child fails while it is being cancelled, is its own without them:
    the scope that was cancelled cancels again at the next checkpoint.

    Returns:
        The error, or the group's remainder; None when nothing of it is its own.
    """
    if isinstance(error, BaseExceptionGroup):
        if error.subgroup(KeyboardInterrupt) is not None:
            return None
        return error.split(trio.Cancelled)[1]
    return None if isinstance(error, _NOT_ITS_OWN) else error
