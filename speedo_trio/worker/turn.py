"""A turn: the messages of one lane that are executed before it is another lane's turn.

The two functions are one algorithm in two colours; neither can call the other without paying for
it on every message, and this is the hottest loop of the house.

Next: `speedo_trio.worker.crew`, which decides whose turn it is.
"""

from __future__ import annotations

import enum
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING

from attrs import frozen

from speedo_trio.isolation import own_error
from speedo_trio.protocol.message import wrong_reply

if TYPE_CHECKING:
    from speedo_trio.config import Workers
    from speedo_trio.protocol.message import Message, Reply
    from speedo_trio.queue.lane import Lane
    from speedo_trio.worker.laps import Laps


class Outcome(enum.Enum):
    """How a turn ended."""

    EMPTY = enum.auto()
    """All messages that waited were executed."""
    MORE = enum.auto()
    """The turn's cap was reached."""
    OTHER_KIND = enum.auto()
    """The next message runs in the other kind of worker."""


EMPTY, MORE, OTHER_KIND = Outcome.EMPTY, Outcome.MORE, Outcome.OTHER_KIND  # looked up per turn


@frozen
class Failure:
    """A message that raised, and what."""

    message: Message
    error: BaseException


def thread_turn(
    lane: Lane[Message], caps: Workers, began: float, laps: Laps | None = None
) -> Outcome | Failure:
    """Execute messages of a claimed lane, in a worker thread, until a cap or an async message.

    Args:
        began: now, on the clock of `time.perf_counter`.
        laps: measures the turn; None when nobody wants to know.
    """
    outlet = lane.outlet
    append, encode = outlet.replies.append, outlet.encode
    left, room = caps.turn_messages, caps.turn_bytes
    check = began + caps.turn_seconds if laps is None else laps.begin(lane, began)
    done = lane.done if laps is None else laps.done
    outcome: Outcome | Failure = EMPTY
    for message in lane.begin():
        try:
            left -= 1
            if message.runs_async:
                left += 1
                outcome = OTHER_KIND
                break
            reply: Reply = message.execute()  # type: ignore[assignment]  # as runs_async says
            if reply is not None:
                if reply.__class__ is not bytes:
                    raise wrong_reply(message, reply)
                if encode is not None:
                    reply = encode(reply)
                    if reply.__class__ is not bytes:
                        raise wrong_reply(message, reply, "encoded ")
                append(reply)
                room -= len(reply)
        except BaseException as error:  # noqa: BLE001  # in a thread, whatever it is is its own
            outcome = Failure(message, error)
            break
        if (
            left <= 0
            or room <= 0
            or lane.halt
            or (perf_counter() >= check and (laps is None or (check := laps.lap(left)) == inf))
        ):
            outcome = MORE
            break
    done(caps.turn_messages - left)
    return outcome


async def task_turn(
    lane: Lane[Message], caps: Workers, began: float, laps: Laps | None = None
) -> Outcome | Failure:
    """Execute messages of a claimed lane, in a Trio task, until a cap or one for a thread.

    When it is cancelled the message that ran counts as dropped.
    """
    outlet = lane.outlet
    append, encode = outlet.replies.append, outlet.encode
    left, room = caps.turn_messages, caps.turn_bytes
    check = began + caps.turn_seconds if laps is None else laps.begin(lane, began)
    done = lane.done if laps is None else laps.done
    outcome: Outcome | Failure = EMPTY
    try:
        for message in lane.begin():
            try:
                left -= 1
                if not message.runs_async:
                    left += 1
                    outcome = OTHER_KIND
                    break
                reply: Reply = await message.execute()  # type: ignore[misc]  # as runs_async says
                if reply is not None:
                    if reply.__class__ is not bytes:
                        raise wrong_reply(message, reply)
                    if encode is not None:
                        reply = encode(reply)
                        if reply.__class__ is not bytes:
                            raise wrong_reply(message, reply, "encoded ")
                    append(reply)
                    room -= len(reply)
            except BaseException as error:
                own = own_error(error)
                if own is None:
                    done = lane.cut if laps is None else laps.cut
                    raise
                outcome = Failure(message, own)
                break
            if (
                left <= 0
                or room <= 0
                or lane.halt
                or (perf_counter() >= check and (laps is None or (check := laps.lap(left)) == inf))
            ):
                outcome = MORE
                break
    finally:
        done(caps.turn_messages - left)
    return outcome
