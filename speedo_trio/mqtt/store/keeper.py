"""The keeper: has written what the ledger notes, and lets answers go when it is.

While a batch is written the next one grows, so under load many changes share a commit.

Next: `speedo_trio.mqtt.store.restore`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final, NoReturn, cast

import trio
from attrs import evolve

from speedo_trio.errors import StoreError
from speedo_trio.events import StoreFailed, StoreRecovered
from speedo_trio.mqtt.state.durable import DurableOutgoing
from speedo_trio.mqtt.store.contract import Removed
from speedo_trio.mqtt.store.estates import Estates
from speedo_trio.mqtt.store.fetching import Fetching
from speedo_trio.mqtt.store.gate import Gate, GatedMailbox
from speedo_trio.mqtt.store.ledger import Ledger
from speedo_trio.mqtt.store.restore import restore
from speedo_trio.mqtt.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.broker.core import BrokerCore
    from speedo_trio.mqtt.state.session import Session
    from speedo_trio.mqtt.state.sessions import Sessions
    from speedo_trio.mqtt.store.batch import Batch
    from speedo_trio.mqtt.store.contract import Image, Store
    from speedo_trio.mqtt.store.gate import Way
    from speedo_trio.mqtt.store.writer import Done, Job
    from speedo_trio.pubsub.outbox import OutboxLimits
    from speedo_trio.pubsub.publication import Publication

LAST_SECONDS: Final = 5.0
"""At the end, what is noted has so long to be written."""
_PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts of a store that fails; the last one again and again."""
LINGER: Final = 0.002
"""Seconds that a batch may wait for clients to acknowledge what it has."""
HASTE: Final = 50
"""When most of it was not acknowledged in that time, so many batches don't wait."""
_PURGE: Final = 60.0
"""Seconds between two looks for what has expired."""
_TURN: Final = 500
"""Sessions that are looked at until it is others' turn."""

_LEFT: Final = "the store is left before all was written that was noted"

_NOTHING: Final = Removed()

_logger = logging.getLogger("speedo_trio.mqtt")


class Keeper:
    """Keeps the sessions of a service and what a broker retains, in a store.

    Its methods are for the Trio thread.
    """

    def __init__(
        self,
        store: Store,
        core: BrokerCore,
        sessions: Sessions,
        later: Callable[[Session], None],
        recognise: Callable[[Session], None],
    ) -> None:
        """Nothing is opened yet.

        Args:
            later: Sees to it that what waits for a session's client is sent soon.
            recognise: Finds out whose a session is that has come back.
        """
        self._estates = Estates(store, self._read, sessions.hub.pass_on, core.flush, self._drift)
        self._fetching = Fetching(
            *(store, core, sessions, self._read, later, self._drift, self._estates.take)
        )
        self.ledger: Final = Ledger(self._fetching, self._drift)
        """What is noted."""
        self._store = store
        self._core = core
        self._sessions = sessions
        self._recognise = recognise
        self._opened = False
        self._restored = False
        self._writer: Writer | None = None
        self._pending: deque[Batch] = deque()  # that are being written
        self._failed = False
        self._relief: deque[Batch] = deque()  # one at most: what may go before its turn
        self._lingering = trio.Event()
        self._lingers = False  # there is a task that sees to it
        self._hasty = 0  # batches that are written at once, as lingering was of no use
        self._gates: dict[Gate, None] = {}
        self._room: trio.Event | None = None
        self._quiet: trio.Event | None = None
        self._stopping = threading.Event()
        self._opening = trio.Lock()
        self._limiter = trio.CapacityLimiter(1)

    # Its life

    def open(self) -> None:
        """Open the store and bring back what is in it; blocks. Again it does nothing.

        Raises:
            StoreError: the store can't be used.
        """
        if not self._opened:
            self._begin(self._store.open())

    async def open_in_thread(self) -> None:
        """Open the store while other tasks go on; a second task waits for the first.

        On cancel the thread is waited for, and the store stays open.

        Raises:
            StoreError: the store can't be used.
        """
        async with self._opening:
            if not self._opened:
                self._begin(await trio.to_thread.run_sync(self._store.open, limiter=self._limiter))

    def let_go(self) -> None:
        """Close a store that was opened and that nobody came to write to; blocks.

        What was noted meanwhile is written.
        """
        if not self._opened or self._writer is not None:
            return
        self._opened = False
        if not self.ledger.batch.empty:
            try:
                self._store.commit(self.ledger.turn_the_page())
            except StoreError:
                _logger.exception(_LEFT)
        self._store.close()

    def _begin(self, image: Image) -> None:
        """Bring back what is in the store, the first time."""
        self._opened = True
        if self._restored:
            return
        self._restored = True
        core = self._core
        core.keeper = self
        self._sessions.keeping = self.ledger
        restore(image, self.ledger, self._sessions, core, self._recognise)
        self._let_in()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Write until cancelled. Call `end` then, when nothing changes any more.

        Args:
            task_status: Told when the store is open.

        Raises:
            StoreError: the store can't be used.
        """
        if not self._opened:
            await self.open_in_thread()
        self._stopping.clear()
        if self._writer is None:
            self._writer = Writer()
        self._estates.go_on()
        self.turn_over()
        task_status.started()
        self._lingers = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._linger)
            await self._purge(self._writer)

    async def _purge(self, writer: Writer) -> NoReturn:
        while True:
            await trio.sleep(_PURGE)
            if not self._failed:
                writer.put(partial(self._store.expire, time.time()), _ignore)
            await self._sweep()
            self._fetching.again()
            self._estates.go_on()

    async def _sweep(self) -> None:
        """Remove messages that have waited for too long, others' turns in between."""
        for count, session in enumerate(list(self._sessions)):
            if count % _TURN == _TURN - 1:
                await trio.lowlevel.checkpoint()
            outgoing, now = session.outgoing, self._core.clock()
            if isinstance(outgoing, DurableOutgoing):
                soonest = outgoing.shelf.soonest
                if soonest is not None and soonest <= now:
                    outgoing.sweep(now)
        self._core.flush()

    async def end(self) -> None:
        """Write what is noted, as far as that can be done in time, and close the store."""
        writer = self._writer
        if writer is None:
            self.let_go()
            return
        self._lingers = False
        self.turn_over()
        with trio.move_on_after(LAST_SECONDS, shield=True):
            await self._written()
        self._stopping.set()  # for a store that fails
        self._writer = None
        with trio.move_on_after(1, shield=True) as scope:
            await writer.end()
        if self._pending or not self.ledger.batch.empty:
            _logger.error(_LEFT)
        if not scope.cancelled_caught:  # else it is still in use, until the process ends
            self._store.close()
        self._opened = False

    async def _written(self) -> None:
        while self._pending:
            self._quiet = trio.Event()
            await self._quiet.wait()

    # What the broker tells

    def retained(self, publication: Publication) -> None:
        """A message was retained, or with no payload the one before is not any more."""
        self.ledger.retain(publication)

    def turn_over(self) -> None:
        """A turn has ended: have what was noted written, unless something is being written.

        What is on its way to clients is worth a moment: what they acknowledge meanwhile need not be
        written at all.
        """
        batch, writer = self.ledger.batch, self._writer
        if batch.touched and not self._pending and writer is not None:
            if self._lingers and batch.on_its_way and not self._hasty:
                self._lingering.set()
            else:
                self._hasty = max(0, self._hasty - 1)
                self._write(writer)

    async def _linger(self) -> NoReturn:
        """Have batches written whose messages were not acknowledged in a moment."""
        while True:
            await self._lingering.wait()
            batch = self.ledger.batch
            rows = batch.rows
            await trio.sleep(LINGER)
            self._lingering = trio.Event()
            if batch is self.ledger.batch and not self._pending and self._writer is not None:
                if 2 * len(rows & batch.rows) > len(rows):
                    self._hasty = HASTE
                self._write(self._writer)

    # What handlers ask

    def gate(self, connection: Way, relieved: Callable[[], None]) -> Gate:
        """The gate of a connection, or of what is like one."""
        return Gate(connection, self._gates, relieved)

    def mailbox(
        self, gate: Gate, limits: OutboxLimits, too_slow: Callable[[str], None]
    ) -> GatedMailbox:
        """The mailbox behind a gate."""
        return GatedMailbox(gate, limits, self._core.dirty, too_slow, self.ledger)

    def hold(self, gate: Gate) -> None:
        """Let what comes to a gate from now on wait for all that was noted so far."""
        if self.ledger.latest > self.ledger.written:
            gate.hold(self.ledger.latest)

    def delays(self, gate: Gate) -> bool:
        """Whether nothing is to be read from a client now."""
        return not self._restored or (gate.shut and self.full)

    @property
    def noted(self) -> int:
        """The bytes of what is noted and not written, about."""
        return self.ledger.batch.weight + sum(each.weight for each in self._pending)

    @property
    def full(self) -> bool:
        """Whether so much is noted and not written that publishers are to wait."""
        return self.noted > self._store.pending_bytes

    @property
    def failing(self) -> bool:
        """Whether the last attempt to write has failed."""
        return self._failed

    async def room(self) -> None:
        """Wait until the store is open, and not full."""
        while not self._restored or self.full:
            if self._room is None:
                self._room = trio.Event()
            await self._room.wait()

    # How it is written

    def _drift(self) -> float:
        """What the wall's clock is ahead of the server's own now."""
        return time.time() - self._core.clock()

    def _write(self, writer: Writer) -> None:
        """Hand the open batch over."""
        batch = self.ledger.turn_the_page()
        self._pending.append(batch)
        if batch.empty and len(self._pending) == 1:
            self._wrote(batch, _NOTHING, None)
        else:
            writer.put(partial(self._commit, writer, batch), partial(self._wrote, batch))

    def _commit(self, writer: Writer, batch: Batch) -> Removed:
        """In the thread: write a batch, again and again until it is written.

        Raises:
            StoreError: it could not be, and now is the end.
        """
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            try:
                return self._store.commit(batch)
            except StoreError as error:
                writer.tell(partial(self._fail, error))
                if self._stopping.wait(pause):
                    break
                self._make_room(writer)
        return self._store.commit(batch)

    def _make_room(self, writer: Writer) -> None:
        """In the thread: if the store is full, let go of what nobody waits for any more.

        That is what clients have acknowledged since, and what has expired.
        """
        with suppress(StoreError):
            self._store.expire(time.time())
        try:
            relief = self._relief.pop()
        except IndexError:
            return
        removed = None
        with suppress(StoreError):
            removed = self._store.commit(relief)
        writer.tell(partial(self._relieved, relief, removed))

    def _relieved(self, relief: Batch, removed: Removed | None) -> None:
        """Something went before its turn; None: it could not."""
        if removed is None:
            self.ledger.batch.swept.update(relief.swept)
        else:
            self.ledger.forget_all(removed.messages)
            # There may be more that expires in what is not written yet.
            self._swept(evolve(removed, soonest=time.time()))

    def _wrote(self, batch: Batch, result: object, error: Exception | None) -> None:
        """A batch was written, or never will be."""
        if error is not None:
            self._fail(error)
            return
        if self._failed:
            self._failed = False
            self._core.tell(StoreRecovered(store=str(self._store)))
        self._pending.popleft()
        self.ledger.written = batch.number
        removed = cast("Removed", result)
        self.ledger.forget_all(removed.messages)
        self._swept(removed)
        if self._estates.waiting:
            self._estates.go_on()
        self.turn_over()
        self._open_gates(batch.number)

    def _swept(self, removed: Removed) -> None:
        for number in removed.swept:
            journal = self.ledger.journals.get(number)
            if journal is not None:
                self._fetching.swept(journal, removed)

    def _open_gates(self, number: int) -> None:
        for gate in [each for each in self._gates if each.open(number)]:
            self._gates.pop(gate, None)
        self._let_in()
        if self._quiet is not None and not self._pending:
            self._quiet.set()

    def _let_in(self) -> None:
        if self._room is not None and not self.full:
            self._room.set()
            self._room = None

    def _fail(self, error: Exception) -> None:
        """The store fails: tell, once, and see what could be let go."""
        relief = self.ledger.batch.relief(self._pending)
        while self._relief:  # the thread may take it right now
            with suppress(IndexError):
                relief.swept.update(self._relief.pop().swept)
        self._relief.append(relief)
        if not self._failed:
            self._failed = True
            self._core.tell(StoreFailed(store=str(self._store), error=error))

    def _read(self, job: Job, done: Done) -> bool:
        """Read after all that was noted so far is written; False: the store is not in use."""
        if self._writer is None:
            return False
        if self.ledger.batch.touched:
            # Another batch may be under way: the thread has them one after the other.
            self._write(self._writer)
        self._writer.put(job, done)
        return True


def _ignore(result: object, error: Exception | None) -> None:
    """What has expired is looked for again later."""
