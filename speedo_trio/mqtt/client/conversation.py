"""The conversation: a dialogue over a stream, from CONNECT to its one ending.

Next: `speedo_trio.mqtt.client.client`.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio
from attrs import Factory, define

from speedo_trio.errors import ConnectionClosed, ConnectionLost, IncompleteFrame, ProtocolError
from speedo_trio.mqtt.client.dialogue import Dialogue
from speedo_trio.mqtt.client.events import Arrived, Ponged, Settled, Welcomed
from speedo_trio.mqtt.client.inbox import Inbox
from speedo_trio.mqtt.client.link import Link, lost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from speedo_trio.mqtt.client.events import ClientEvent
    from speedo_trio.mqtt.client.login import Login
    from speedo_trio.mqtt.client.memory import Memory
    from speedo_trio.mqtt.client.message import Arrival, ReceivedMessage

GOODBYE_SECONDS: Final = 1.0
"""How long the end of a connection may take: for the server to do what was sent before and close,
or for its last words after it stopped listening. Over a network that works it is far less."""


@define(eq=False)
class Request:
    """What the server is to answer."""

    settled: Settled | None = None
    over: trio.Event = Factory(trio.Event)

    def end(self, settled: Settled | None = None) -> None:
        """The answer has come; None: none will, or it says no more than that."""
        self.settled = settled
        self.over.set()


class Conversation:
    """What a client does over its stream.

    `run` must run in a task. All ends go through `finish`; the first one counts, and closes the
    stream.
    """

    def __init__(
        self, stream: trio.abc.Stream, login: Login, buffer: int, memory: Memory | None
    ) -> None:
        self._inbox = Inbox(buffer)
        self._dialogue = Dialogue(login, trio.current_time(), memory)
        self._link = Link(stream, self._sent)
        self._requests: dict[int, Request] = {}
        self._pings: deque[Request] = deque()
        self._settling = trio.lowlevel.ParkingLot()  # those who wait for a quota
        self._running = trio.CancelScope(shield=True)  # `finish` cancels it, and nobody else
        self._end: ConnectionClosed | ProtocolError | None = None
        self._finished = trio.Event()
        self._welcome = trio.Event()
        self.welcomed: Welcomed | None = None
        """What CONNACK said."""

    # What calls do

    async def welcome(self) -> Welcomed:
        """Wait until the server has accepted.

        Raises:
            ConnectionClosed: it didn't.
        """
        await self._welcome.wait()
        self._see_whether_it_ended()
        assert self.welcomed is not None
        return self.welcomed

    async def publish(self, say: Callable[[Dialogue], int], qos: int) -> Settled | None:
        """Publish when there is room, and with QoS 1 or 2 wait for the end of its way.

        After a cancel it may have been sent.

        Raises:
            ConnectionClosed: the conversation has ended; or another error, with which it did.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        self._see_whether_it_ended()
        if not qos:
            await self._room()
            self._say(say)
            return None
        with self._inbox.hurry():
            while self._end is None and (self._link.full or not self._dialogue.may_publish):
                await self._settling.park()
            return await self._await_answer(self._ask(say))

    async def ask(self, say: Callable[[Dialogue], int]) -> Settled | None:
        """Say something that the server answers, and wait for that. Otherwise as `publish`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._see_whether_it_ended()
        with self._inbox.hurry():
            await self._room()
            return await self._await_answer(self._ask(say))

    async def ping(self) -> None:
        """Wait until the server has done all that was sent before. Raises as `publish`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._see_whether_it_ended()
        with self._inbox.hurry():
            await self._room()
            await self._await_answer(self._ping())

    async def take(self) -> ReceivedMessage:
        """Wait for the next message.

        Raises:
            ConnectionClosed: as `publish`, after the last message that came before.
        """
        message = await self._inbox.take()
        if message is None:
            self._see_whether_it_ended()
            raise AssertionError("an inbox is closed by the end")
        return message

    def acknowledge(self, arrival: Arrival) -> None:
        """A message is dealt with. After the end this does nothing."""
        if self._end is None:
            with self._speaking():
                self._dialogue.acknowledge(arrival)

    def _ask(self, say: Callable[[Dialogue], int]) -> Request:
        packet_id = self._say(say)
        request = self._requests[packet_id] = Request()
        return request

    def _ping(self) -> Request:
        request = Request()
        self._pings.append(request)
        with self._speaking():
            self._dialogue.ping()
        return request

    def _say(self, say: Callable[[Dialogue], int]) -> int:
        self._see_whether_it_ended()
        with self._speaking():
            return say(self._dialogue)

    async def _room(self) -> None:
        while self._end is None and self._link.full:
            await self._settling.park()

    async def _await_answer(self, request: Request) -> Settled | None:
        await request.over.wait()
        if request.settled is None:
            self._see_whether_it_ended()
        return request.settled

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Send what the dialogue has to say at the end of the block."""
        try:
            yield
        finally:
            self._link.put(self._dialogue.data_to_send())

    def _sent(self) -> None:
        self._dialogue.pulse.sent(trio.current_time())
        self._settling.unpark_all()

    # The end

    async def leave(self) -> None:
        """Say goodbye, and wait for a moment until the server has done all and closes."""
        if self._end is not None:
            return
        self._inbox.discard()
        with trio.move_on_after(GOODBYE_SECONDS):
            with self._speaking():
                self._dialogue.disconnect()
            await self._finished.wait()

    def close(self) -> None:
        """End the conversation, if nothing else has; `run` then closes the stream and returns."""
        self.finish(ConnectionClosed("this client has left its block"))

    def finish(self, error: ConnectionClosed | ProtocolError) -> None:
        """End it: all calls that wait, and all later ones, raise that error."""
        if self._end is not None:
            return
        self._end = error.with_traceback(None)  # its frames would keep data alive
        self._finished.set()
        self._welcome.set()
        self._inbox.close()
        self._running.cancel()
        self._settling.unpark_all()
        for request in (*self._requests.values(), *self._pings):
            request.end()
        self._requests.clear()

    def _see_whether_it_ended(self) -> None:
        if self._end is not None:  # a new one: raised again it would drag its traceback along
            raise type(self._end)(*self._end.args) from self._end.__cause__

    # Running

    async def run(self) -> None:
        """Read and write until the end, then close the stream. Only `finish` ends it early.

        So it doesn't end by a cancel from outside: the block that it serves does, and finishes it.
        """
        try:
            with self._running:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._beat)
                    self.finish(await self._read())
        finally:
            await self._link.close(0 if self._running.cancelled_caught else GOODBYE_SECONDS)

    async def _write(self) -> None:
        self._link.put(self._dialogue.data_to_send())
        try:
            await self._link.write()
        except ConnectionLost as error:  # what is still to be read may explain it
            with self._inbox.hurry(), trio.move_on_after(GOODBYE_SECONDS):
                await trio.sleep_forever()
            self.finish(error)

    async def _read(self) -> ConnectionClosed | ProtocolError:
        """Read until something ends it; what that was."""
        try:
            while True:
                if self._inbox.full:
                    await self._inbox.room()
                    self._dialogue.pulse.heard(trio.current_time())
                data = await self._link.read()
                if not data:
                    self._dialogue.eof()
                    return ConnectionLost("the server closed the connection without a reason")
                with self._speaking():
                    for event in self._dialogue.receive_data(data, trio.current_time()):
                        self._take(event)
        except IncompleteFrame as error:
            return lost(error)
        except ConnectionClosed as error:
            return error
        except ProtocolError as error:
            with trio.move_on_after(GOODBYE_SECONDS):  # the server is told
                await self._link.room(1)
            return error

    async def _beat(self) -> None:
        """Ask now and then whether the server is there."""
        while True:
            pulse = self._dialogue.pulse
            with trio.move_on_at(pulse.deadline):
                await self._welcome.wait()  # it may tell another keep alive
                await trio.sleep_until(self._dialogue.pulse.deadline)
            now, pulse = trio.current_time(), self._dialogue.pulse
            if self._inbox.full:
                pulse.heard(now)  # an answer would not be read
            try:
                due = pulse.look(now) and self._dialogue.connected
            except ConnectionLost as error:
                self.finish(error)
                return
            if due:
                self._ping()

    def _take(self, event: ClientEvent) -> None:
        match event:
            case Arrived(message):
                self._inbox.put(message)
            case Settled(packet_id):
                request = self._requests.pop(packet_id, None)
                if request is not None:
                    request.end(event)
                self._settling.unpark_all()
            case Ponged():
                if self._pings:
                    self._pings.popleft().end()
            case Welcomed():
                self.welcomed = event
                self._welcome.set()
                self._settling.unpark_all()
