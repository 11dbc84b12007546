"""One peer's life: bytes to the handler, messages to the lane, replies back, one ending.

A link introduces the rooms to one another: a wire's bytes (`speedo_trio.io`), a protocol's
messages (`speedo_trio.protocol`) and a lane (`speedo_trio.queue`). Its one task reads, then
finishes, then closes; `Link.end` is the one way to make it stop reading and says why.

Next: `speedo_trio.server`, which starts links and drains them.
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import trio
from attrs import evolve

from speedo_trio.accounts import ended, opened
from speedo_trio.errors import ConnectionLost, HandlerError, HandshakeError, ProtocolError
from speedo_trio.events import (
    Cause,
    CloseReason,
    ConnectionFailed,
    MessageFailed,
    Pause,
)
from speedo_trio.io.connection import WireConnection
from speedo_trio.io.layer import Layer, arrived
from speedo_trio.isolation import own_error
from speedo_trio.protocol.handler import ProtocolHandler
from speedo_trio.protocol.message import Message, no_message, wrong_reply
from speedo_trio.queue.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from speedo_trio.config import Config
    from speedo_trio.house import House
    from speedo_trio.io.door import Door, Introduction
    from speedo_trio.io.listener import Listener
    from speedo_trio.io.wire import Wire
    from speedo_trio.protocol.handler import Messages

_CLOSE_SECONDS = 0.25
"""How long letting go of a wire may take. A socket takes none; a stream that the application
brought gets this much before it is left to itself."""

IDLE_LOOKS = 4
"""How often a connection is looked at within its idle timeout: idleness is seen at most a quarter
of the timeout late."""

_ORDERLY = (
    Cause.EOF,
    Cause.CLOSED,
    Cause.DRAINED,
    Cause.FIRST_MESSAGE,
    Cause.IDLE,
    Cause.LIFETIME,
)
"""After these a connection still finishes; when it can't, that is the reason of its end."""

_LEAVING = (Cause.DRAINED, Cause.FIRST_MESSAGE, Cause.IDLE, Cause.LIFETIME)
"""This side goes of its own accord, while the peer may have had more to say."""

_NOBODY_WAITS = (Cause.LOST, Cause.ABORTED)
"""After these nothing counts as dropped: the peer is gone, or our side wanted it so."""

_TOLD = (Cause.HANDSHAKE, Cause.PROTOCOL_ERROR, Cause.HANDLER_ERROR)
"""These are reported as they happen: somebody erred."""


class Hold(Enum):
    """What keeps a link from reading on."""

    TURN = "turn"
    """It reads much, and others have their turn first."""
    ROOM = "room"
    """Messages wait for room on the lane."""
    BYTES = "bytes"
    """Messages of too many bytes wait to be executed."""
    END = "end"
    """The peer has ended its stream."""


class _Isolation:
    """Around a step of a link's task: what the peer or handler does wrong ends only the link."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        self._link = link

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if error is None or isinstance(error, GeneratorExit):  # the latter: the task is collected
            return False
        own = own_error(error)
        match own:
            case None:
                return False
            case ConnectionLost():
                self._link.end(Cause.LOST, own, drop=True)
            case HandshakeError():
                self._link.end(Cause.HANDSHAKE, own)
            case ProtocolError():
                self._link.end(Cause.PROTOCOL_ERROR, own)
            case _:
                self._link.end(Cause.HANDLER_ERROR, own)
        return True


class Link:
    """One connection, from accept to close."""

    __slots__ = (
        "_bell",
        "_closed",
        "_config",
        "_door",
        "_dropping",
        "_executed_mark",
        "_goodbye",
        "_handle",
        "_handler",
        "_house",
        "_last_seen",
        "_lingering",
        "_loud",
        "_outlives",
        "_pending",
        "_reading",
        "_reason",
        "_reported",
        "_scope",
        "_seen_at",
        "_unsent",
        "began",
        "connection",
        "counted",
        "cut",
        "lane",
        "received",
    )

    def __init__(
        self,
        house: House,
        wire: Wire,
        listener: Listener | None = None,
        introduction: Introduction | None = None,
    ) -> None:
        """Args: the house; the peer's wire; who accepted it, if anyone; what is known of it."""
        self._house = house
        self._config: Config = house.config
        self._door: Door | None = None if listener is None else listener.door
        self._outlives = listener is not None and listener.outlives
        self.began: float = trio.current_time()
        self.counted: bool = listener is not None and not (self._door and self._door.proxied)
        """Whether it counts among the connections of its peer's address."""
        self._last_seen = (0, 0, 0)
        self._seen_at = self.began
        self.received: int = 0
        self.cut: bool = False
        """Whether a drain's grace was over before this link had ended."""
        self._handler: ProtocolHandler | None = None
        self._pending: Iterator[Message] | None = None  # messages that found no room yet
        self._loud = 0  # bytes of the last read, if it was a full one
        self._executed_mark = 0  # bytes whose messages had all been executed at the last look
        self._scope = trio.CancelScope()
        self._reading = True
        self._goodbye: Cause | None = None  # why the link is to finish, once it is
        self._dropping = False
        self._lingering = False
        self._unsent = 0  # bytes left when the wire was closed
        self._closed = False
        self._reason: CloseReason | None = None
        self._reported = False
        self._bell: trio.Event | None = None
        limits = house.config.limits
        self.connection: WireConnection = WireConnection(
            house.number(), wire, self, house.border, limits, introduction
        )
        self.lane: Lane[Message] = Lane(self, self.connection, limits.lane_messages, house.tally)
        house.enter(self)

    async def run(self) -> None:
        """Serve the peer; the link's task. Returns when the connection has ended."""
        try:
            with self._scope, _Isolation(self):
                await self._read()
            self._reading = False
            if not self._dropping:
                self._scope = trio.CancelScope()
                with self._scope, _Isolation(self):
                    await self._finish()
            await self._close()
            await self._until(lambda: not self.lane.claimed)
        finally:
            await self._close()
            if self._house.crew.runs_task(self.lane):  # stopped hard, and not yet unwound
                with trio.move_on_after(_CLOSE_SECONDS, shield=True):
                    await self._until(lambda: not self._house.crew.runs_task(self.lane))
            self._leave()

    def end(
        self,
        cause: Cause,
        error: BaseException | None = None,
        *,
        drop: bool = False,
        message: object = None,
    ) -> None:
        """Stop reading, for this reason, unless there was one before.

        What was received is still executed and answered; with `drop`, it is not.
        """
        reason = CloseReason(cause, error)
        broken = drop or error is not None
        if self._reason is None or (broken and self._unfinished):
            self._reason = reason
        if cause in _TOLD and not self._reported:
            self._reported = True
            self._report(reason, message)
        if drop:
            self._dropping = True
            self.lane.shut_down()
            self._house.crew.cancel(self.lane)
        if drop or self._reading:
            self._scope.cancel(reason=cause.value)

    @property
    def _unfinished(self) -> bool:
        """Whether the connection was to end in order and has not sent everything yet."""
        orderly = self._reason is not None and self._reason.cause in _ORDERLY
        return orderly and not (self._lingering or self._dropping)

    @property
    def draining(self) -> bool:
        """Whether it has been asked to finish."""
        return self._goodbye is not None

    @property
    def at_door(self) -> bool:
        """Whether its handshake is not over: nothing may be sent on its wire."""
        return self._door is not None

    @property
    def fresh(self) -> bool:
        """Whether to wait with a drain for the first message.

        That is so while none has come, where others go on accepting: the peer has reason to think
        that it is served, and would have been by them.
        """
        lane = self.lane
        begun = lane.executed or lane.claimed or lane.messages or self._pending is not None
        return self._outlives and self._reading and not begun

    @property
    def held(self) -> int:
        """Bytes received whose messages have not all been executed."""
        if not self.lane.messages:
            self._executed_mark = self.received
        return self.received - self._executed_mark

    def drain(self, cause: Cause = Cause.DRAINED) -> None:
        """Finish: handle what the kernel has received, let the handler say goodbye, end."""
        self._goodbye = self._goodbye or cause
        if self._reading:
            self._scope.cancel(reason=cause.value)

    def cut_off(self) -> None:
        """The drain's grace is over."""
        if self._lingering:  # all was sent
            self._scope.cancel()
            return
        self.cut = True
        self.end(Cause.GRACE_OVER, drop=True)

    @property
    def dropped_messages(self) -> int:
        """Messages received but not executed to their end, once the link has ended."""
        lane = self.lane
        return self._missed(lane.dropped + lane.unexecuted)

    @property
    def dropped_bytes(self) -> int:
        """Bytes of replies not sent, once the link has ended."""
        return self._missed(self._unsent)

    def _missed(self, count: int) -> int:
        if self._reason is not None and self._reason.cause in _NOBODY_WAITS:
            return 0
        return count

    # The task

    async def _read(self) -> None:
        """From the handler's making to the end of what the peer sends."""
        if self._door is not None and not await self._come_in(self._door):
            return
        self._door = None
        handler = self._make_handler()
        await self._admit(handler.opened())
        self._handle = handler.handle
        poller, wire = self._house.poller, self.connection.wire
        hold = None
        while hold is not Hold.END:
            hold = await poller.reads(wire, self._step)
            while hold is Hold.TURN:
                await self._house.turnstile.enter(self._loud)  # it may have turned by now
                self._loud = 0
                hold = self._step()
            if hold is Hold.ROOM:
                await self._admit_pending()
                hold = Hold.BYTES if self._holds_much() else None
            if hold is Hold.BYTES:
                await self._all_executed()
        await self._admit(handler.eof())
        self.end(Cause.EOF)

    def _step(self) -> Hold | None:
        """Read and handle what has come; why not to go on with that at once, if anything is."""
        house, limits = self._house, self._config.limits
        if self._loud and not house.turnstile.free(self._loud):
            return Hold.TURN
        size = limits.read_bytes
        data = self.connection.wire.read(size)
        if data:
            count = len(data)
            self._loud = size if count == size else 0
            self.received += count
            house.held += count
            messages = self._handle(data)
            if messages is not None and self._take(messages):
                return Hold.ROOM
            return Hold.BYTES if self._holds_much() else None
        if self.connection.lost():  # sending has told it, and so taken it from reading
            raise ConnectionLost("reset by the peer")
        if data is None:
            self._loud = size  # what kept a layer busy gave nothing: pings, key updates
            return None
        return Hold.END

    def _holds_much(self) -> bool:
        """Whether so many bytes were read whose messages wait that no more may be."""
        house = self._house
        return self.received - self._executed_mark >= self._config.limits.lane_bytes or (
            house.held >= house.most_held and house.full()
        )

    async def _all_executed(self) -> None:
        """Wait until no message waits; so many bytes were read that no more may be."""
        if self.lane.messages:
            own = self.held >= self._config.limits.lane_bytes
            self._house.pauses[Pause.LANE_BYTES if own else Pause.BYTES] += 1
        await self._until(lambda: not self.lane.messages)
        self._executed_mark = self.received

    async def _come_in(self, door: Door) -> bool:
        """Through the door, in time; whether the peer may stay."""
        patience = self._config.timeouts.handshake
        with trio.move_on_after(inf if patience is None else patience):
            return await self._shake_hands(door)
        raise HandshakeError(f"it was not over after {patience:g} s")

    async def _shake_hands(self, door: Door) -> bool:
        connection, wire = self.connection, self.connection.wire
        introduction = await door.header(wire)
        connection.introduction = introduction
        if introduction.peer is not None:  # else the proxy speaks for itself
            self.counted = self._house.admit(connection.peer)
            if not self.counted:
                self.end(Cause.REFUSED, drop=True)
                return False
        connection.wire, tls, websocket = await door.enter(wire, self._choose_subprotocol)
        connection.introduction = evolve(introduction, tls=tls, websocket=websocket)
        return True

    def _choose_subprotocol(self, offered: tuple[str, ...]) -> str | None:
        factory: object = self._house.factory
        while isinstance(factory, partial):  # it has not the methods of its class
            factory = factory.func
        choose = getattr(factory, "choose_subprotocol", None)
        if choose is None:
            return None
        chosen: object = choose(offered)
        if chosen is None or (isinstance(chosen, str) and chosen in offered):
            return chosen
        raise HandlerError(f"choose_subprotocol() gave {chosen!r}; allowed is one of {offered}")

    def _make_handler(self) -> ProtocolHandler:
        if self._house.observer is not None:
            self._house.observe(opened(self.connection))
        handler = self._house.factory(self.connection)
        if not isinstance(handler, ProtocolHandler):
            raise HandlerError(
                f"the factory gave {type(handler).__name__}; allowed is a ProtocolHandler"
            )
        self._handler = handler
        self.connection.encode = handler.encoder()
        return handler

    async def _finish(self) -> None:
        """From the end of reading to the last byte sent."""
        with _Isolation(self):
            await self._admit_pending()
        if self._goodbye is not None and self._reason is None:
            with _Isolation(self):
                await self._last_words(self._goodbye)
        await self._until(lambda: not self.lane.claimed and self.connection.idle)
        await self._linger()

    async def _last_words(self, goodbye: Cause) -> None:
        """Handle what the kernel had received when the drain began, and say goodbye."""
        handler, wire = self._handler, self.connection.wire
        if handler is None:  # the handshake was not over
            self.end(goodbye)
            return
        house, limits = self._house, self._config.limits
        for data in arrived(wire, limits.read_bytes):
            if data:
                self.received += len(data)
                house.held += len(data)
                await self._admit(handler.handle(data))
            if self.held >= limits.lane_bytes or (house.held >= house.most_held and house.full()):
                await self._all_executed()
            await trio.lowlevel.checkpoint()  # which is where the grace may be over
        await self._admit(handler.draining())
        self.end(goodbye)

    async def _linger(self) -> None:
        """Say that no more comes and read on for a while.

        Closing with unread input makes the kernel send a reset, which can overtake the last
        reply and destroy it.
        """
        if self.connection.broken:  # the last reply did not get through
            raise ConnectionLost("reset by the peer")
        self._lingering = True
        cause = None if self._reason is None else self._reason.cause
        await self.connection.send_eof(leaving=cause in _LEAVING)
        if cause is not Cause.EOF:
            with trio.move_on_after(self._config.timeouts.linger):
                while self.connection.wire.read(self._config.limits.read_bytes) != b"":
                    await self.connection.wire.readable()

    async def _close(self) -> None:
        """Let go of the wire, at once. Does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        self.lane.shut_down()
        self._unsent = self.connection.shut()
        with trio.move_on_after(_CLOSE_SECONDS, shield=True), _Isolation(self):
            await self.connection.wire.close()

    def _leave(self) -> None:
        """The one ending."""
        reason = self._reason or CloseReason(Cause.STOPPED)
        self._house.leave(self, reason.cause)
        if self._handler is not None:
            try:
                self._handler.closed(reason)
            except BaseException as error:
                own = own_error(error)
                if own is None:
                    raise
                self._report(CloseReason(Cause.HANDLER_ERROR, own))
        if self._house.observer is not None and reason.cause is not Cause.REFUSED:
            self._house.observe(ended(self, reason))

    # Messages to the lane

    async def _admit(self, messages: Messages) -> None:
        """Put messages on the lane, waiting for room; the rest stays pending on cancel."""
        if self._take(messages):
            await self._admit_pending()

    async def _admit_pending(self) -> None:
        while self._put():
            tally = self._house.tally
            shared = tally.waiting >= tally.limit
            self._house.pauses[Pause.MESSAGES if shared else Pause.LANE_MESSAGES] += 1
            await self._until(self._has_room)

    def _take(self, messages: Messages) -> bool:
        """Put what there is room for; whether more is pending."""
        if messages is None:
            return False
        self._pending = iter(messages)
        return self._put()

    def _put(self) -> bool:
        """Put what there is room for of what is pending; whether there is more."""
        lane, more = self.lane, False
        if self._pending is None or lane.shut:
            return False
        try:
            more = lane.put(self._pending)
        finally:
            if not more:
                self._pending = None
            if lane.claim():
                self._house.crew.dispatch(lane)
            elif lane.messages:
                self._house.crew.attend()
        return more

    def _has_room(self) -> bool:
        """Whether there is enough room to go on; waits low, so that it isn't woken for each."""
        return len(self.lane.messages) <= self.lane.limit // 2 and self.lane.room > 0

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for what workers bring about."""
        self.lane.watched = True
        try:
            while True:
                self._bell = trio.Event()  # before the look: what comes after it rings
                if condition():
                    return
                await self._bell.wait()
        finally:
            self.lane.watched = False
            self._bell = None

    def _report(self, reason: CloseReason, message: object = None) -> None:
        self._house.observe(
            ConnectionFailed(
                connection=self.connection.id,
                peer=self.connection.peer,
                reason=reason,
                message=message,
            )
        )

    # What the lane tells (`speedo_trio.queue.lane.LaneOwner`)

    def message_failed(self, message: object, error: BaseException) -> None:
        lane, house = self.lane, self._house
        house.failed += 1
        reply: bytes | BaseException | None = None
        if not isinstance(message, Message):
            error = no_message(message)
        elif not lane.shut:
            reply = self._reply_to_failure(message, error)
        if isinstance(reply, bytes):
            connection = self.connection
            connection.replies.append(reply)
            if house.observer is not None:
                peer = connection.peer
                house.observe(
                    MessageFailed(connection=connection.id, peer=peer, message=message, error=error)
                )
        else:
            cause = Cause.HANDLER_ERROR
            if isinstance(error, ProtocolError):
                cause = Cause.PROTOCOL_ERROR
            if not lane.shut:
                self.end(cause, reply or error, message=message)
            lane.shut = True
        house.crew.resume(lane)

    def _reply_to_failure(
        self, message: Message, error: BaseException
    ) -> bytes | BaseException | None:
        """The handler's reply, encoded; None for none; or what the handler raised."""
        assert self._handler is not None
        encode = self.connection.encode
        try:
            reply: object = self._handler.failed(message, error)
            if isinstance(reply, bytes) and encode is not None:
                reply = encode(reply)
        except BaseException as second:
            own = own_error(second)
            if own is None:
                raise
            return own
        if reply is None or isinstance(reply, bytes):
            return reply
        return wrong_reply(message, reply)

    def progressed(self) -> None:
        if self._bell is not None:
            self._bell.set()

    # What the connection tells (`speedo_trio.io.connection.ConnectionOwner`)

    def congested(self) -> None:
        self.lane.halt = True

    def aborting(self) -> None:
        self.lane.shut = self.lane.halt = True

    def write_blocked(self) -> None:
        self._house.nursery.start_soon(self._write_out)

    async def _write_out(self) -> None:
        try:
            if not await self.connection.write_out(self._config.timeouts.write):
                self.end(Cause.WRITE_TIMEOUT, drop=True)
        except ConnectionLost as lost:
            self.end(Cause.LOST, lost, drop=True)
        self.progressed()

    def write_lost(self, error: ConnectionLost) -> None:
        self.end(Cause.LOST, error, drop=True)

    def overflowed(self) -> None:
        self.end(Cause.OVERFLOW, drop=True)

    def ungated(self) -> None:
        self._house.pauses[Pause.UNSENT] += 1
        self._house.crew.dispatch(self.lane)

    def relieved(self) -> None:
        if self._handler is not None:
            with _Isolation(self):
                self._handler.writable()

    def after_reads(self, call: Callable[[], object]) -> None:
        self._house.poller.after(call, self._blame)

    def _blame(self, error: BaseException) -> None:
        with _Isolation(self):
            raise error

    def close_asked(self) -> None:
        self.end(Cause.CLOSED)

    def abort_asked(self) -> None:
        self.end(Cause.ABORTED, drop=True)

    # What the watch asks (`speedo_trio.io.watch.Watched`)

    def look(self, now: float) -> float | None:
        timeouts = self._config.timeouts
        over = self.began + (timeouts.lifetime or inf)
        if now >= over:
            return self._outlived(now, over + timeouts.grace)
        if not self._reading:
            return None if over == inf else over
        first, idle, next_look = timeouts.first_message, timeouts.idle, over
        if first is not None and not (self.lane.executed or self.lane.claimed):
            if now >= self.began + first:
                self.end(Cause.FIRST_MESSAGE)
                return None
            next_look = min(next_look, self.began + first)
        if idle is not None:
            if self._idle(now) >= idle:
                self.end(Cause.IDLE)
                return None
            next_look = min(next_look, now + idle / IDLE_LOOKS)
        return None if next_look == inf else next_look

    def _outlived(self, now: float, grace_over: float) -> float | None:
        """Finish; but who then reads its replies byte by byte could make that take for ever."""
        if now < grace_over:
            self.drain(Cause.LIFETIME)
            return grace_over
        if self.connection.blocked:
            self.end(Cause.LIFETIME, drop=True)
            return None
        return now + 1.0  # its messages take long; replies may still come

    def _idle(self, now: float) -> float:
        """How long nothing has happened."""
        wire = self.connection.wire
        heard = wire.heard if isinstance(wire, Layer) else self.received
        seen = (heard, self.connection.sent, self.lane.executed)
        if seen != self._last_seen or self.lane.claimed or not self.connection.idle:
            self._last_seen, self._seen_at = seen, now
        return now - self._seen_at
