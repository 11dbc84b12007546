"""One peer's life: bytes to the handler, messages to the lane, replies back, one ending.

A link introduces the rooms to one another: a wire's bytes (`speedo_trio.io`), a protocol's
messages (`speedo_trio.protocol`) and a lane (`speedo_trio.queue`). Its one task reads, then
finishes, then closes; `Link.end` is the one way to make it stop reading and says why.

Next: `speedo_trio.server`, which starts links and drains them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from speedo_trio.errors import ConnectionLost, HandlerError, ProtocolError
from speedo_trio.events import Cause, CloseReason, ConnectionFailed
from speedo_trio.io.connection import WireConnection
from speedo_trio.io.layer import arrived
from speedo_trio.isolation import own_error
from speedo_trio.protocol.handler import ProtocolHandler
from speedo_trio.protocol.message import Message, no_message, wrong_reply
from speedo_trio.queue.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from speedo_trio.config import Config
    from speedo_trio.events import Event, Observer
    from speedo_trio.io.border import Border
    from speedo_trio.io.idle import IdleWatch
    from speedo_trio.io.wire import Wire
    from speedo_trio.protocol.handler import Messages, ProtocolHandlerFactory
    from speedo_trio.queue.lane import Tally
    from speedo_trio.worker.crew import Crew

_CLOSE_SECONDS = 0.25
"""How long letting go of a wire may take. A socket takes none; a stream that the application
brought gets this much before it is left to itself."""

IDLE_LOOKS = 4
"""How often a connection is looked at within its idle timeout: idleness is seen at most a quarter
of the timeout late."""

_ORDERLY = (Cause.EOF, Cause.CLOSED, Cause.DRAINED, Cause.IDLE)
"""After these a connection still finishes; when it can't, that is the reason of its end."""

_NOBODY_WAITS = (Cause.LOST, Cause.ABORTED)
"""After these nothing counts as dropped: the peer is gone, or our side wanted it so."""

_logger = logging.getLogger("speedo_trio")


@define(eq=False)
class Totals:
    """Sums over links."""

    received: int = 0
    sent: int = 0
    executed: int = 0
    dropped_messages: int = 0
    dropped_bytes: int = 0
    cut: int = 0

    def add(self, link: Link) -> None:
        self.received += link.received
        self.sent += link.connection.sent
        self.executed += link.lane.executed
        self.dropped_messages += link.dropped_messages
        self.dropped_bytes += link.dropped_bytes
        self.cut += link.cut


@define(eq=False)
class House:
    """What all links of a server share."""

    config: Config
    factory: ProtocolHandlerFactory
    observer: Observer
    nursery: trio.Nursery
    border: Border
    crew: Crew
    tally: Tally
    idle_watch: IdleWatch | None
    links: set[Link] = field(factory=set)
    connections: int = 0
    """Connections so far."""
    ended: Totals = field(factory=Totals)
    """The sums over the links that have ended."""
    _waiting: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)

    def enter(self, link: Link) -> int:
        """A link begins; its number."""
        self.connections += 1
        self.links.add(link)
        if self.idle_watch is not None:
            self.idle_watch.add(link)
        return self.connections

    def leave(self, link: Link) -> None:
        """A link has ended."""
        self.links.discard(link)
        if self.idle_watch is not None:
            self.idle_watch.discard(link)
        self.ended.add(link)
        self.stir()

    def stir(self) -> None:
        """Have those look again who wait for room or for the end of all links."""
        self._waiting.unpark_all()

    async def stirred(self) -> None:
        """Wait for a link to end, or for `stir`."""
        await self._waiting.park()

    def observe(self, event: Event) -> None:
        """Tell the observer; what it raises harms nobody."""
        try:
            self.observer(event)
        except BaseException as error:
            if own_error(error) is None:
                raise
            _logger.exception("the observer raised on %r", event)


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
        "_draining",
        "_dropping",
        "_executed_mark",
        "_handler",
        "_house",
        "_idle_looks",
        "_last_seen",
        "_lingering",
        "_pending",
        "_reading",
        "_reason",
        "_reported",
        "_scope",
        "_unsent",
        "_wire",
        "connection",
        "cut",
        "lane",
        "received",
    )

    def __init__(self, house: House, wire: Wire) -> None:
        self._house = house
        self._wire = wire
        self._idle_looks = 0
        self._last_seen = (0, 0, 0)
        self.connection: WireConnection = WireConnection(
            house.enter(self), wire, self, house.border, house.config.limits
        )
        self.lane: Lane[Message] = Lane(
            self, self.connection, house.config.limits.lane_messages, house.tally
        )
        self.received: int = 0
        self.cut: bool = False
        """Whether a drain's grace was over before this link had ended."""
        self._handler: ProtocolHandler | None = None
        self._pending: Iterator[Message] | None = None  # messages that found no room yet
        self._executed_mark = 0  # bytes whose messages had all been executed at the last look
        self._scope = trio.CancelScope()
        self._reading = True
        self._draining = False
        self._dropping = False
        self._lingering = False
        self._unsent = 0  # bytes left when the wire was closed
        self._closed = False
        self._reason: CloseReason | None = None
        self._reported = False
        self._bell: trio.Event | None = None

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
        if cause in (Cause.PROTOCOL_ERROR, Cause.HANDLER_ERROR) and not self._reported:
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
        return orderly and not self._lingering

    def drain(self) -> None:
        """Finish: handle what the kernel has received, let the handler say goodbye, end."""
        self._draining = True
        if self._reading:
            self._scope.cancel(reason=Cause.DRAINED.value)

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
        handler = self._make_handler()
        await self._admit(handler.opened())
        limits = self._house.config.limits
        readable, read, handle = self._wire.readable, self._wire.read, handler.handle
        size, most = limits.read_bytes, limits.lane_bytes
        while True:
            await readable()
            data = read(size)
            if data:
                self.received += len(data)
                if self._take(handle(data)):  # not _admit: a coroutine less for every read
                    await self._admit_pending()
                if self.received - self._executed_mark >= most:
                    await self._until(lambda: not self.lane.messages)
                    self._executed_mark = self.received
            elif self.connection.broken:  # sending has told it, and so taken it from reading
                raise ConnectionLost("reset by the peer")
            elif data is not None:
                break
        await self._admit(handler.eof())
        self.end(Cause.EOF)

    def _make_handler(self) -> ProtocolHandler:
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
        if self._draining and self._reason is None:
            with _Isolation(self):
                await self._last_words()
        await self._until(lambda: not self.lane.claimed and self.connection.idle)
        await self._linger()

    async def _last_words(self) -> None:
        """Handle what the kernel had received when the drain began, and say goodbye."""
        handler = self._handler
        assert handler is not None  # made in the first step of reading, before any cancel
        for data in arrived(self._wire, self._house.config.limits.read_bytes):
            self.received += len(data)
            await self._admit(handler.handle(data))
        await self._admit(handler.draining())
        self.end(Cause.DRAINED)

    async def _linger(self) -> None:
        """Say that no more comes and read on for a while.

        Closing with unread input makes the kernel send a reset, which can overtake the last
        reply and destroy it.
        """
        if self.connection.broken:  # the last reply did not get through
            raise ConnectionLost("reset by the peer")
        self._lingering = True
        await self.connection.send_eof()
        if self._reason is None or self._reason.cause is not Cause.EOF:
            with trio.move_on_after(self._house.config.timeouts.linger):
                while self._wire.read(self._house.config.limits.read_bytes) != b"":
                    await self._wire.readable()

    async def _close(self) -> None:
        """Let go of the wire, at once. Does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        self.lane.shut_down()
        self._unsent = self.connection.shut()
        with trio.move_on_after(_CLOSE_SECONDS, shield=True), _Isolation(self):
            await self._wire.close()

    def _leave(self) -> None:
        """The one ending."""
        self._house.leave(self)
        if self._handler is not None:
            reason = self._reason or CloseReason(Cause.STOPPED)
            try:
                self._handler.closed(reason)
            except BaseException as error:
                own = own_error(error)
                if own is None:
                    raise
                self._report(CloseReason(Cause.HANDLER_ERROR, own))

    # Messages to the lane

    async def _admit(self, messages: Messages) -> None:
        """Put messages on the lane, waiting for room; the rest stays pending on cancel."""
        if self._take(messages):
            await self._admit_pending()

    async def _admit_pending(self) -> None:
        while self._put():
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
        lane = self.lane
        reply: bytes | BaseException | None = None
        if not isinstance(message, Message):
            error = no_message(message)
        elif not lane.shut:
            reply = self._reply_to_failure(message, error)
        if isinstance(reply, bytes):
            self.connection.replies.append(reply)
        else:
            cause = Cause.HANDLER_ERROR
            if isinstance(error, ProtocolError):
                cause = Cause.PROTOCOL_ERROR
            if not lane.shut:
                self.end(cause, reply or error, message=message)
            lane.shut = True
        self._house.crew.resume(lane)

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
            if not await self.connection.write_out(self._house.config.timeouts.write):
                self.end(Cause.WRITE_TIMEOUT, drop=True)
        except ConnectionLost as lost:
            self.end(Cause.LOST, lost, drop=True)
        self.progressed()

    def write_lost(self, error: ConnectionLost) -> None:
        self.end(Cause.LOST, error, drop=True)

    def overflowed(self) -> None:
        self.end(Cause.OVERFLOW, drop=True)

    def ungated(self) -> None:
        self._house.crew.dispatch(self.lane)

    def close_asked(self) -> None:
        self.end(Cause.CLOSED)

    def abort_asked(self) -> None:
        self.end(Cause.ABORTED, drop=True)

    # What the idle watch asks (`speedo_trio.io.idle.Idler`)

    def look(self, now: float) -> float | None:
        idle = self._house.config.timeouts.idle
        if not self._reading or idle is None:
            return None
        seen = (self.received, self.connection.sent, self.lane.executed)
        if seen != self._last_seen or self.lane.claimed or not self.connection.idle:
            self._last_seen, self._idle_looks = seen, 0
        self._idle_looks += 1
        if self._idle_looks > IDLE_LOOKS:
            self.end(Cause.IDLE)
            return None
        return now + idle / IDLE_LOOKS
