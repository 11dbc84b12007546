"""A connection over a wire that takes what the test lets it: order, bounds, waiting, the end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
import trio
import trio.testing
from trio.testing import MockClock, wait_all_tasks_blocked

from speedo_trio.config import Limits
from speedo_trio.errors import ConnectionClosed, ConnectionLost
from speedo_trio.events import Address, ProxyInfo, TLSInfo, WebSocketInfo
from speedo_trio.io.border import Border
from speedo_trio.io.connection import WireConnection
from speedo_trio.io.door import Introduction
from speedo_trio.io.wire import Data, StreamWire, Wire

LIMITS = Limits(unsent_high=100, unsent_bytes=1000)


class FakeWire:
    """A wire that takes as many bytes as `let` allowed, in sends of `most` bytes at most."""

    peer = Address("tcp", host="192.0.2.1", port=40_000)
    local = Address("tcp", host="192.0.2.2", port=9292)

    def __init__(self, room: int = 0, most: int = 2**31) -> None:
        self.room = room
        self.most = most
        self.sent = bytearray()
        self.ended = self.left = False
        self._lost = False
        self._stirred = trio.Event()
        self._sending = threading.Lock()

    def let(self, count: int) -> None:
        """Allow `count` bytes more."""
        self.room += count
        self._stir()

    def lose(self) -> None:
        """Break."""
        self._lost = True
        self._stir()

    def send_nowait(self, data: Data) -> int:
        assert self._sending.acquire(blocking=False), "two send at once"
        try:
            if self._lost:
                raise ConnectionLost("reset by the test")
            sent = min(self.room, self.most, len(data))
            self.sent += data[:sent]
            self.room -= sent
            return sent
        finally:
            self._sending.release()

    async def push(self, data: Data) -> int:
        assert len(data) > 0
        while not (sent := self.send_nowait(data)):
            await self._stirred.wait()
        await trio.lowlevel.checkpoint()
        return sent

    async def send_eof(self, *, leaving: bool = False) -> None:
        self.ended, self.left = True, leaving

    async def readable(self) -> NoReturn:
        raise AssertionError

    def read(self, size: int) -> NoReturn:
        raise AssertionError

    def unread(self) -> NoReturn:
        raise AssertionError

    async def close(self) -> None:
        self.lose()

    def _stir(self) -> None:
        self._stirred.set()
        self._stirred = trio.Event()


class Fickle(FakeWire):
    """A wire that takes all or half of what it is given, in turns, and later the rest."""

    whole = False

    def send_nowait(self, data: Data) -> int:
        self.whole = not self.whole
        self.most = len(data) if self.whole else max(1, len(data) // 2)
        return super().send_nowait(data)


class Owner:
    """Runs writer tasks as a link does, and remembers what it was told."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.told: list[str] = []
        self.hints: list[str] = []
        """What may be told from any thread."""
        self.outcomes: list[bool | ConnectionLost] = []
        self.writers = 0
        self.patience: float | None = None
        self._nursery = nursery
        self._home = threading.get_ident()

    def congested(self) -> None:
        self.hints.append("congested")

    def aborting(self) -> None:
        self.hints.append("aborting")

    def write_blocked(self) -> None:
        self._tell("write_blocked")
        assert self.writers == 0, "two writer tasks at once"
        self.writers += 1
        self._nursery.start_soon(self._write_out)

    async def _write_out(self) -> None:
        try:
            self.outcomes.append(await self.connection.write_out(self.patience))
        except ConnectionLost as lost:
            self.outcomes.append(lost)
        self.writers -= 1

    def write_lost(self, error: ConnectionLost) -> None:
        self._tell("write_lost")

    def overflowed(self) -> None:
        self._tell("overflowed")

    def ungated(self) -> None:
        self._tell("ungated")

    def relieved(self) -> None:
        self._tell("relieved")

    def progressed(self) -> None:
        pass  # may be told at any time

    def after_reads(self, call: Callable[[], object]) -> None:
        call()

    def close_asked(self) -> None:
        self._tell("close_asked")

    def abort_asked(self) -> None:
        self._tell("abort_asked")

    def _tell(self, what: str) -> None:
        assert threading.get_ident() == self._home, "not on the Trio thread"
        self.told.append(what)

    connection: WireConnection


@pytest.fixture
def owner(nursery: trio.Nursery) -> Owner:
    """An owner whose writer tasks end with the test."""
    return Owner(nursery)


def connect(owner: Owner, wire: Wire, limits: Limits = LIMITS) -> WireConnection:
    """A connection over the wire."""
    owner.connection = WireConnection(7, wire, owner, Border(), limits)
    return owner.connection


def reply(connection: WireConnection, *replies: bytes) -> bool:
    """What a worker does at the end of a turn."""
    connection.replies.extend(replies)
    return connection.flush()


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for what threads bring about."""
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110  # threads ring no bell here
            await trio.sleep(0.001)


# What a handler sees


CLIENT = Address("tcp", "192.0.2.7", 40_000)
PROXY = ProxyInfo(proxy=Address("tcp", "127.0.0.1", 5), version=2)
WEBSOCKET = WebSocketInfo(path="/", subprotocol=None, headers=())


async def test_who_and_where(owner: Owner) -> None:
    """The number is the owner's; an introduction tells what the wire does not."""
    wire, tls = FakeWire(), TLSInfo(version="TLSv1.3", cipher="TLS_AES_128_GCM_SHA256")
    plain = connect(owner, wire)
    introduction = Introduction(peer=CLIENT, proxy=PROXY, tls=tls, websocket=WEBSOCKET)
    known = WireConnection(8, wire, owner, Border(), LIMITS, introduction)

    assert (plain.id, plain.peer, plain.local) == (7, wire.peer, wire.local)
    assert (plain.tls, plain.websocket, plain.proxy) == (None, None, None)
    assert (known.id, known.peer, known.local) == (8, CLIENT, wire.local)
    assert (known.tls, known.websocket, known.proxy) == (tls, WEBSOCKET, PROXY)


async def test_close_and_abort_tell_the_owner(owner: Owner) -> None:
    """At once on the Trio thread."""
    connection = connect(owner, FakeWire())
    connection.close()
    assert owner.told == ["close_asked"]
    connection.abort()
    assert owner.told == ["close_asked", "abort_asked"]


async def test_close_and_abort_from_a_thread(owner: Owner) -> None:
    """The owner is told on the Trio thread; that it ends, it learns at once."""
    connection = connect(owner, FakeWire())
    await trio.to_thread.run_sync(connection.close)
    assert owner.hints == []
    await trio.to_thread.run_sync(connection.abort)
    assert owner.hints == ["aborting"]
    await eventually(lambda: owner.told == ["close_asked", "abort_asked"])


# Writing


async def test_write_sends_soon(owner: Owner) -> None:
    """It never blocks and tells that the bytes were taken; they go out in order."""
    wire = FakeWire(room=1000)
    connection = connect(owner, wire)

    assert [connection.write(b"%d," % number) for number in range(5)] == [True] * 5
    assert connection.unsent == 10
    assert not connection.idle
    await wait_all_tasks_blocked()
    assert wire.sent == b"0,1,2,3,4,"
    assert (connection.unsent, connection.sent, connection.idle) == (0, 10, True)
    assert owner.told == []


@pytest.mark.parametrize("data", [bytearray(b"data"), memoryview(b"data"), b"data"])
async def test_write_takes_any_kind_of_bytes(owner: Owner, data: bytes) -> None:
    """And does not mind what becomes of a buffer afterwards."""
    wire = FakeWire(room=1000)
    connection = connect(owner, wire)
    connection.write(data)
    if hasattr(data, "clear"):
        data.clear()
    await wait_all_tasks_blocked()

    assert wire.sent == b"data"


@pytest.mark.parametrize("data", ["text", 3, None, [1, 2]])
async def test_write_takes_nothing_else(owner: Owner, data: object) -> None:
    """A mistake is told where it is made, with what was given, and sends nothing."""
    wire = FakeWire(room=1000)
    connection = connect(owner, wire)
    with pytest.raises(TypeError, match=type(data).__name__):
        connection.write(data)  # type: ignore[arg-type]  # is what is tested
    await wait_all_tasks_blocked()

    assert wire.sent == b""


async def test_write_of_nothing(owner: Owner) -> None:
    """It is taken, and leaves nothing that waits."""
    connection = connect(owner, FakeWire())
    assert connection.write(b"")
    await wait_all_tasks_blocked()

    assert connection.idle


async def test_write_after_replies(owner: Owner) -> None:
    """Inside a message it leaves after the replies of earlier messages."""
    wire = FakeWire(room=1000)
    connection = connect(owner, wire)
    connection.replies.append(b"earlier,")
    connection.write(b"pushed,")
    connection.replies.append(b"own,")
    connection.flush()
    await wait_all_tasks_blocked()

    assert wire.sent == b"earlier,pushed,own,"


async def test_send_nowait_sends_at_once(owner: Owner) -> None:
    """Nothing waits for the loop to come round; a buffer will do, too."""
    wire = FakeWire(room=1000)
    connection = connect(owner, wire)

    assert connection.send_nowait(b"one,")
    assert connection.send_nowait(bytearray(b"two,"))  # type: ignore[arg-type]  # as write does
    assert (bytes(wire.sent), connection.sent) == (b"one,two,", 8)
    assert connection.idle


async def test_send_nowait_keeps_the_order(owner: Owner) -> None:
    """What was written or replied before leaves first, at once as well."""
    wire = FakeWire(room=1000)
    connection = connect(owner, wire)
    connection.replies.append(b"reply,")
    connection.write(b"written,")

    assert connection.send_nowait(b"sent")
    assert wire.sent == b"reply,written,sent"


async def test_send_nowait_leaves_the_rest_to_the_writer(owner: Owner) -> None:
    """What the kernel doesn't take waits, and so does what comes after."""
    wire = FakeWire(room=3)
    connection = connect(owner, wire)

    assert connection.send_nowait(b"12345")
    assert connection.send_nowait(b"678")
    assert (bytes(wire.sent), connection.unsent) == (b"123", 5)
    assert owner.told == ["write_blocked"]


async def test_send_nowait_is_bounded(owner: Owner) -> None:
    """More than may wait is not taken, as by write."""
    wire = FakeWire(room=0)
    connection = connect(owner, wire)

    assert not connection.send_nowait(b"x" * (LIMITS.unsent_bytes + 1))
    await wait_all_tasks_blocked()
    assert owner.told == ["overflowed"]


async def test_send_nowait_fills_the_room(owner: Owner) -> None:
    """A rest as large as may wait leaves no room; there is some again once the wire takes it."""
    wire = FakeWire(room=0)
    connection = connect(owner, wire)
    connection.send_nowait(b"x" * LIMITS.unsent_high)

    assert connection.room == 0


async def test_send_nowait_on_a_lost_connection(owner: Owner) -> None:
    """The owner is told, not in the middle of the call; nothing more is taken."""
    wire = FakeWire(room=1000)
    wire.lose()
    connection = connect(owner, wire)

    assert not connection.send_nowait(b"x")
    assert owner.told == []
    await wait_all_tasks_blocked()
    assert owner.told == ["write_lost"]
    assert not connection.send_nowait(b"x")


# Partial sends and the writer task


async def test_flush_tells_whether_all_went(owner: Owner) -> None:
    """With nothing to send, too."""
    wire = FakeWire(room=10)
    connection = connect(owner, wire)

    assert connection.flush()
    assert reply(connection, b"12345", b"67890")
    assert connection.flush()
    assert not reply(connection, b"x")
    assert not connection.flush()
    assert owner.told == ["write_blocked"]


async def test_partial_sends_arrive_whole(owner: Owner) -> None:
    """Whatever the wire takes at a time, all arrives in order."""
    wire = FakeWire(room=2**20, most=3)
    connection = connect(owner, wire)
    expected = b""
    for number in range(50):
        expected += b"<%d>[%d]" % (number, number)
        connection.write(b"<%d>" % number)
        reply(connection, b"[%d]" % number)
        if number % 7 == 0:
            await trio.lowlevel.checkpoint()
    await wait_all_tasks_blocked()

    assert wire.sent == expected
    assert connection.idle
    assert connection.sent == len(expected)


async def test_one_writer_task_at_a_time(owner: Owner) -> None:
    """Whatever comes while it waits is left to it; the next blocking needs a new one."""
    wire = FakeWire()
    connection = connect(owner, wire)
    for _ in range(3):
        reply(connection, b"reply,")
        connection.write(b"push,")
        await wait_all_tasks_blocked()
    assert owner.told == ["write_blocked"]

    wire.let(33)
    await wait_all_tasks_blocked()
    assert owner.outcomes == [True]
    assert wire.sent == b"reply,push," * 3
    reply(connection, b"again")
    assert owner.told == ["write_blocked"] * 2


async def test_bytes_of_a_blocked_connection_are_not_kept_twice(owner: Owner) -> None:
    """When all has gone, nothing is left of it, however much that was."""
    wire = FakeWire()
    connection = connect(owner, wire, Limits(unsent_bytes=10**7))
    for _ in range(1000):
        reply(connection, b"r" * 100)
        connection.write(b"w" * 100)
    wire.let(10**7)
    await wait_all_tasks_blocked()

    assert connection.replies == []
    assert (connection.unsent, connection.idle, len(wire.sent)) == (0, True, 200_000)


async def test_threads_and_the_trio_thread_write_at_once(owner: Owner) -> None:
    """Writes are never torn, and those of one thread keep their order."""
    wire = FakeWire(room=2**31, most=7)
    connection = connect(owner, wire, Limits(unsent_high=10**8, unsent_bytes=10**8))

    def write(who: int) -> None:
        for number in range(1500):
            assert connection.write(b"%d:%d," % (who, number))

    threads = [threading.Thread(target=write, args=(who,)) for who in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1500):
        reply(connection, b"9:%d," % number)
        if number % 50 == 0:
            await trio.lowlevel.checkpoint()
    await eventually(lambda: not any(thread.is_alive() for thread in threads))
    await eventually(lambda: connection.idle)

    writes = [tuple(map(int, each.split(b":"))) for each in bytes(wire.sent).split(b",")[:-1]]
    for who in (0, 1, 2, 9):
        assert [number for writer, number in writes if writer == who] == list(range(1500))
    assert len(writes) == 6000


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns so often that each of their races comes about."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.000001)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restless")
async def test_threads_flush_at_once(owner: Owner) -> None:
    """Several that flush and a wire that blocks now and then still make one writer at a time."""
    wire = Fickle(room=2**31)
    connection = connect(owner, wire, Limits(unsent_high=10**8, unsent_bytes=10**8))
    each = 1000

    def flush() -> None:
        for _ in range(each):
            while not connection.idle:
                time.sleep(0)
            reply(connection, b"xy")

    threads = [threading.Thread(target=flush) for _ in range(3)]
    for thread in threads:
        thread.start()
    await eventually(lambda: not any(thread.is_alive() for thread in threads))
    await eventually(lambda: connection.idle)
    await wait_all_tasks_blocked()

    assert wire.sent == b"xy" * each * 3
    assert owner.outcomes == [True] * owner.told.count("write_blocked")


class Hesitant(FakeWire):
    """A wire that breaks while it is sent on, and takes its time to say so."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.go = threading.Event(), threading.Event()

    def send_nowait(self, data: Data) -> NoReturn:
        self.inside.set()
        assert self.go.wait(10)
        raise ConnectionLost("reset by the test")


async def test_lost_in_another_thread(owner: Owner) -> None:
    """A reader that sees the end waits to hear whether it was a reset, told to the sender."""
    wire = Hesitant()
    connection = connect(owner, wire)
    assert not connection.lost()
    told: list[bool] = []
    sender = threading.Thread(target=reply, args=(connection, b"x"))
    sender.start()
    wire.inside.wait(10)
    reader = threading.Thread(target=lambda: told.append(connection.lost()))
    reader.start()
    await trio.sleep(0.02)  # long enough to look, if it didn't wait
    wire.go.set()
    await eventually(lambda: not (sender.is_alive() or reader.is_alive()))

    assert told == [True]


# Bounds


async def test_unsent_counts_what_waits(owner: Owner) -> None:
    """Pushed bytes and replies of finished turns, but not those of a turn that goes on."""
    wire = FakeWire(room=4)
    connection = connect(owner, wire)
    connection.write(b"12345")
    assert connection.unsent == 5
    await wait_all_tasks_blocked()
    assert connection.unsent == 1
    reply(connection, b"123")
    assert connection.unsent == 4
    connection.replies.append(b"a turn goes on")
    assert connection.unsent == 4
    connection.write(b"12")
    assert connection.unsent == 6


async def test_much_is_sent_at_once(owner: Owner) -> None:
    """A loop of writes, in any thread, is bounded by what the peer takes and not by the memory."""
    wire = FakeWire(room=10_000)
    connection = connect(owner, wire)

    def write() -> None:
        for _ in range(100):
            assert connection.write(b"x" * 50)

    await trio.to_thread.run_sync(write)
    assert connection.unsent <= 150
    await wait_all_tasks_blocked()
    assert wire.sent == b"x" * 5000
    assert owner.hints == []


async def test_much_that_does_not_go_is_told(owner: Owner) -> None:
    """The owner learns at once, in whatever thread that is, that more waits than should."""
    connection = connect(owner, FakeWire())
    await trio.to_thread.run_sync(connection.write, b"x" * 100)
    assert owner.hints == []
    await trio.to_thread.run_sync(connection.write, b"y")

    assert owner.hints == ["congested"]


async def test_overflow(owner: Owner) -> None:
    """What exceeds the bound is refused as a whole, and the owner is told."""
    wire = FakeWire()
    connection = connect(owner, wire)
    assert connection.write(b"x" * 600)
    assert connection.write(b"y" * 400)
    await wait_all_tasks_blocked()
    assert "overflowed" not in owner.told
    assert not connection.write(b"z")
    await wait_all_tasks_blocked()
    assert owner.told.count("overflowed") == 1

    wire.let(2000)
    await wait_all_tasks_blocked()
    assert wire.sent == b"x" * 600 + b"y" * 400


async def test_overflow_by_one_write(owner: Owner) -> None:
    """A single write may be over the bound by itself."""
    connection = connect(owner, FakeWire(room=10_000))

    assert not connection.write(b"x" * 1001)
    await wait_all_tasks_blocked()
    assert owner.told == ["overflowed"]


async def test_replies_count_for_the_overflow(owner: Owner) -> None:
    """Pushed bytes are refused when replies already fill the bound."""
    connection = connect(owner, FakeWire())
    reply(connection, b"x" * 999)

    assert connection.write(b"1")
    assert not connection.write(b"2")


# Room


async def test_room_shrinks_with_what_is_written(owner: Owner) -> None:
    """It is what may be written until unsent_high bytes wait; what is sent gives it back."""
    wire = FakeWire(room=30)
    connection = connect(owner, wire)
    assert connection.room == 100
    connection.write(b"x" * 30)
    assert connection.room == 70
    await wait_all_tasks_blocked()
    assert connection.room == 100
    connection.write(b"x" * 99)
    assert connection.room == 1
    await wait_all_tasks_blocked()
    assert connection.room == 1
    assert "relieved" not in owner.told


@pytest.mark.parametrize("limits", [LIMITS, Limits(unsent_high=5000, unsent_bytes=100)])
async def test_relief_is_told_once(owner: Owner, limits: Limits) -> None:
    """Without room there is none until half of what may wait is gone; that is told once."""
    wire = FakeWire()
    connection = connect(owner, wire, limits)
    for _ in range(10):
        assert connection.write(b"x" * 10)
    assert connection.room == 0
    await wait_all_tasks_blocked()
    for _ in range(4):
        wire.let(10)
        await wait_all_tasks_blocked()
        assert connection.room == 0
    assert "relieved" not in owner.told

    wire.let(10)
    await wait_all_tasks_blocked()
    assert (connection.unsent, connection.room) == (50, 50)
    assert owner.told.count("relieved") == 1
    wire.let(1000)
    await wait_all_tasks_blocked()
    assert owner.told.count("relieved") == 1


@pytest.mark.parametrize("limits", [LIMITS, Limits(unsent_high=5000, unsent_bytes=100)])
async def test_room_that_the_wire_gives_at_once(owner: Owner, limits: Limits) -> None:
    """A write that fills the room is sent there and then; there is room again, told later."""
    wire = FakeWire(room=1000)
    connection = connect(owner, wire, limits)
    for _ in range(3):
        connection.write(b"x" * 100)
        assert (connection.room, len(wire.sent) % 100) == (100, 0)
    assert owner.told == []  # not inside write
    await wait_all_tasks_blocked()
    assert owner.told == ["relieved"]
    assert wire.sent == b"x" * 300


async def test_relief_is_not_told_inside_write(owner: Owner) -> None:
    """Not even where somebody waits in send(), and what waited left with that write."""
    wire = FakeWire()
    connection = connect(owner, wire)
    connection.replies.append(b"x" * 10)
    connection._written = 150  # a thread that has written, and is just about to flush
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.send, b"sent")
        await wait_all_tasks_blocked()
        wire.let(1000)
        assert connection.write(b"written")
        assert "relieved" not in owner.told
        await wait_all_tasks_blocked()
    assert owner.told == ["relieved"]


async def test_replies_that_leave_no_room(owner: Owner) -> None:
    """Whatever made the room 0: that there is some again is told."""
    wire = FakeWire()
    connection = connect(owner, wire)
    reply(connection, b"x" * 100)
    assert connection.room == 0
    wire.let(100)
    await wait_all_tasks_blocked()
    assert (connection.room, owner.told) == (100, ["write_blocked", "relieved"])

    reply(connection, b"x" * 10)
    reply(connection, b"x" * 90)
    assert connection.room == 0
    wire.let(100)
    await wait_all_tasks_blocked()
    assert (connection.room, owner.told[2:]) == (100, ["write_blocked", "relieved"])


async def test_replies_of_a_turn_that_the_writer_takes(owner: Owner) -> None:
    """They count as soon as they are on their way, and so does the relief."""
    wire = FakeWire(room=1)
    connection = connect(owner, wire)
    reply(connection, b"x" * 11)
    connection.replies.append(b"y" * 200)  # of a turn that goes on
    assert connection.room == 90
    wire.let(10)
    await wait_all_tasks_blocked()
    assert connection.room == 0
    wire.let(150)
    await wait_all_tasks_blocked()
    assert (connection.room, owner.told) == (50, ["write_blocked", "relieved"])


async def test_relief_after_writes_from_a_thread(owner: Owner) -> None:
    """It is told on the Trio thread."""
    wire = FakeWire(room=10_000)
    connection = connect(owner, wire)
    await trio.to_thread.run_sync(connection.write, b"x" * 100)
    await eventually(lambda: owner.told)

    assert owner.told == ["relieved"]


async def test_no_relief_once_it_is_closed(owner: Owner) -> None:
    """Neither by the closing nor by what was under way."""
    wire = FakeWire(room=150)
    connection = connect(owner, wire)
    connection.write(b"x" * 100)  # all sent, and the relief is on its way
    connection.write(b"x" * 100)
    connection.shut()
    await wait_all_tasks_blocked()

    assert "relieved" not in owner.told


# Sending, and waiting for it


async def test_send_writes_at_once_when_little_waits(owner: Owner) -> None:
    """Up to the bound nothing is waited for."""
    wire = FakeWire()
    connection = connect(owner, wire)
    connection.write(b"x" * 100)
    with trio.fail_after(5):
        await connection.send(b"y")

    assert connection.unsent == 101


async def test_send_waits_for_room(owner: Owner, nursery: trio.Nursery) -> None:
    """Until the peer has taken enough; nothing of it is written before."""
    wire = FakeWire()
    connection = connect(owner, wire)
    connection.write(b"x" * 101)
    nursery.start_soon(connection.send, b"late")
    await wait_all_tasks_blocked()
    assert connection.unsent == 101

    wire.let(101)
    await wait_all_tasks_blocked()
    wire.let(4)
    await wait_all_tasks_blocked()
    assert wire.sent == b"x" * 101 + b"late"


async def test_send_goes_on_when_all_went_without_a_writer(owner: Owner) -> None:
    """What was written a moment ago may go at once, and then there is room."""
    wire = FakeWire(room=10_000)
    connection = connect(owner, wire)
    connection.write(b"x" * 500)
    with trio.fail_after(5):
        await connection.send(b"y")
    await wait_all_tasks_blocked()

    assert wire.sent == b"x" * 500 + b"y"


async def test_send_goes_on_when_a_thread_flushed(owner: Owner, nursery: trio.Nursery) -> None:
    """A worker that sends all makes room for those who wait on the Trio thread."""
    wire = FakeWire()
    connection = connect(owner, wire)
    connection.write(b"x" * 500)
    sent = trio.Event()

    async def send() -> None:
        await connection.send(b"y")
        sent.set()

    nursery.start_soon(send)  # its wait begins after the flush that write() asked for
    wire.let(10_000)
    await trio.to_thread.run_sync(reply, connection, b"z")
    with trio.fail_after(5):
        await sent.wait()
    await wait_all_tasks_blocked()

    assert sorted(wire.sent) == sorted(b"x" * 500 + b"yz")


async def test_many_senders_stay_within_bounds(owner: Owner, nursery: trio.Nursery) -> None:
    """All who wait get on, but not all at once."""
    wire = FakeWire()
    connection = connect(owner, wire)
    connection.write(b"x" * 101)
    for _ in range(30):
        nursery.start_soon(connection.send, b"y" * 50)
    await wait_all_tasks_blocked()
    most = 0
    with trio.fail_after(10):
        while len(wire.sent) < 101 + 30 * 50:
            wire.let(10)
            await wait_all_tasks_blocked()
            most = max(most, connection.unsent)

    assert most <= 100 + 50
    assert wire.sent == b"x" * 101 + b"y" * 1500


async def test_cancelled_send_sends_nothing(owner: Owner) -> None:
    """While it waits nothing of it has been written."""
    wire = FakeWire()
    connection = connect(owner, wire)
    connection.write(b"x" * 101)
    with trio.move_on_after(0.01) as scope:
        await connection.send(b"never")
    wire.let(1000)
    await wait_all_tasks_blocked()

    assert scope.cancelled_caught
    assert wire.sent == b"x" * 101


async def test_send_that_waits_is_told_of_the_close(owner: Owner, nursery: trio.Nursery) -> None:
    """All who wait get ConnectionClosed, which names the connection."""
    connection = connect(owner, FakeWire())
    connection.write(b"x" * 101)
    told: list[str] = []

    async def send() -> None:
        with pytest.raises(ConnectionClosed) as closed:
            await connection.send(b"never")
        told.append(str(closed.value))

    nursery.start_soon(send)
    nursery.start_soon(send)
    await wait_all_tasks_blocked()
    connection.shut()
    await wait_all_tasks_blocked()

    assert len(told) == 2
    assert "connection 7 is closed" in told[0]


async def test_send_is_a_checkpoint(owner: Owner) -> None:
    """Whether or not it waits."""
    connection = connect(owner, FakeWire(room=1000))
    with trio.testing.assert_checkpoints():
        await connection.send(b"x")


# The gate


async def test_gate_is_open_while_little_waits(owner: Owner) -> None:
    """Up to the bound, and whenever nothing is blocked."""
    wire = FakeWire(room=50)
    connection = connect(owner, wire)
    assert not connection.gate()
    reply(connection, b"x" * 150)

    assert connection.unsent == 100
    assert not connection.gate()


async def test_gate_closes_when_much_waits(owner: Owner) -> None:
    """Above the bound, and is opened once when half of it is left."""
    wire = FakeWire()
    connection = connect(owner, wire)
    reply(connection, b"x" * 101)
    assert connection.gate()
    wire.let(50)
    await wait_all_tasks_blocked()
    assert "ungated" not in owner.told

    wire.let(1)
    await wait_all_tasks_blocked()
    wire.let(1000)
    await wait_all_tasks_blocked()
    reply(connection, b"more")
    await wait_all_tasks_blocked()
    assert owner.told.count("ungated") == 1


async def test_gate_counts_replies_behind_a_small_rest(owner: Owner) -> None:
    """A peer that never reads closes the gate though each turn's replies are few."""
    connection = connect(owner, FakeWire(room=1))
    turns = 0
    while not connection.gate():
        reply(connection, b"x" * 10)
        turns += 1
        await trio.lowlevel.checkpoint()
        assert turns <= 11

    assert connection.unsent == 109


async def test_gate_that_was_not_closed_is_not_opened(owner: Owner) -> None:
    """Without a gate() that said so nobody waits, and nobody is told."""
    wire = FakeWire()
    connection = connect(owner, wire)
    reply(connection, b"x" * 500)
    wire.let(1000)
    await wait_all_tasks_blocked()

    assert "ungated" not in owner.told


async def test_each_closing_of_the_gate_is_opened_once(owner: Owner) -> None:
    """Again and again."""
    wire = FakeWire()
    connection = connect(owner, wire)
    for times in range(1, 4):
        reply(connection, b"x" * 200)
        assert connection.gate()
        wire.let(200)
        await wait_all_tasks_blocked()

        assert owner.told.count("ungated") == times
        assert not connection.gate()


async def test_end_opens_the_gate(owner: Owner) -> None:
    """Who waits for room must not wait for ever."""
    connection = connect(owner, FakeWire())
    reply(connection, b"x" * 101)
    assert connection.gate()
    connection.shut()
    await wait_all_tasks_blocked()

    assert owner.told.count("ungated") == 1
    assert not connection.gate()


# The ends


async def test_shut_tells_what_was_left(owner: Owner) -> None:
    """All that was not sent, replies of a turn that goes on included."""
    wire = FakeWire(room=10)
    connection = connect(owner, wire)
    reply(connection, b"x" * 30)
    reply(connection, b"y" * 5)
    connection.write(b"z" * 3)
    connection.replies.append(b"turn")

    assert connection.shut() == 20 + 5 + 3 + 4
    assert connection.unsent == 0
    assert connection.shut() == 0


async def test_nothing_is_sent_after_the_end(owner: Owner) -> None:
    """What is written then is refused, replies go nowhere and are not kept."""
    wire = FakeWire(room=1000)
    connection = connect(owner, wire)
    connection.shut()

    assert not connection.write(b"x")
    assert not reply(connection, b"y")
    await wait_all_tasks_blocked()
    assert wire.sent == b""
    assert connection.replies == []
    with pytest.raises(ConnectionClosed):
        await connection.send(b"z")


async def test_write_asked_for_before_the_end_is_dropped_after_it(owner: Owner) -> None:
    """A flush that is under way finds nothing to do."""
    wire = FakeWire(room=1000)
    connection = connect(owner, wire)
    connection.write(b"x")

    assert connection.shut() == 1
    await wait_all_tasks_blocked()
    assert wire.sent == b""


async def test_end_while_the_writer_waits(owner: Owner) -> None:
    """The writer ends with the wire's close, and its bytes have been counted."""
    wire = FakeWire(room=1)
    connection = connect(owner, wire)
    reply(connection, b"x" * 10)
    await wait_all_tasks_blocked()

    assert connection.shut() == 9
    await wire.close()
    await wait_all_tasks_blocked()
    assert owner.writers == 0
    assert wire.sent == b"x"


async def test_end_while_the_writer_is_between_two_sends(owner: Owner) -> None:
    """It sends no further byte."""
    wire = FakeWire(room=1000, most=10)
    connection = connect(owner, wire)
    reply(connection, b"x" * 100)
    await trio.lowlevel.checkpoint()
    connection.shut()
    sent = len(wire.sent)
    await wait_all_tasks_blocked()

    assert len(wire.sent) == sent < 100
    assert owner.outcomes == [True]


async def test_lost_while_sending(owner: Owner) -> None:
    """The owner is told once, on the Trio thread; from then on the connection takes nothing."""
    wire = FakeWire(room=1000)
    connection = connect(owner, wire)
    wire.lose()
    assert not await trio.to_thread.run_sync(reply, connection, b"x")
    assert not reply(connection, b"y")
    assert not connection.write(b"z")
    await wait_all_tasks_blocked()

    assert owner.told == ["write_lost"]
    assert not connection.gate()


async def test_lost_by_a_pushed_write(owner: Owner) -> None:
    """Nobody called send(), and still the owner learns of it."""
    wire = FakeWire(room=1000)
    connection = connect(owner, wire)
    wire.lose()
    assert connection.write(b"x")
    await wait_all_tasks_blocked()

    assert owner.told == ["write_lost"]


async def test_lost_while_the_writer_waits(owner: Owner) -> None:
    """write_out() raises what the wire did."""
    wire = FakeWire()
    connection = connect(owner, wire)
    reply(connection, b"x")
    await wait_all_tasks_blocked()
    wire.lose()
    await wait_all_tasks_blocked()

    (lost,) = owner.outcomes
    assert isinstance(lost, ConnectionLost)
    assert connection.shut() == 1


async def test_peer_that_takes_nothing(owner: Owner, autojump_clock: MockClock) -> None:
    """After the writer's patience write_out() gives up."""
    owner.patience = 30
    connection = connect(owner, FakeWire())
    reply(connection, b"x")
    await trio.sleep(29.9)
    assert owner.outcomes == []
    await trio.sleep(0.2)

    assert owner.outcomes == [False]


async def test_peer_that_takes_little(owner: Owner, autojump_clock: MockClock) -> None:
    """As long as it takes a byte now and then, the writer has patience."""
    owner.patience = 30
    wire = FakeWire()
    connection = connect(owner, wire)
    reply(connection, b"x" * 10)
    for _ in range(10):
        await trio.sleep(29)
        wire.let(1)
        await trio.lowlevel.checkpoint()
    await wait_all_tasks_blocked()

    assert owner.outcomes == [True]
    assert wire.sent == b"x" * 10


async def test_writer_of_endless_patience(owner: Owner, autojump_clock: MockClock) -> None:
    """Without a limit it waits for ever."""
    wire = FakeWire()
    connection = connect(owner, wire)
    reply(connection, b"x")
    await trio.sleep(10**9)
    assert owner.writers == 1
    wire.let(1)
    await wait_all_tasks_blocked()

    assert owner.outcomes == [True]


async def test_slow_reader_of_a_stream_is_not_cut(
    owner: Owner, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Over a stream too, a peer that takes bytes all the time is not one that takes none."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    owner.patience = 30
    connection = connect(owner, StreamWire(ours, 65_536), Limits())
    reply(connection, b"x" * 1_000_000)
    received = 0
    while received < 1_000_000 and owner.outcomes == []:
        await trio.sleep(5)
        with trio.move_on_after(10):
            received += len(await theirs.receive_some(20_000))
    await wait_all_tasks_blocked()

    assert owner.outcomes == [True]
    assert received == 1_000_000


@pytest.mark.parametrize("leaving", [False, True])
async def test_send_eof_is_passed_on(owner: Owner, *, leaving: bool) -> None:
    """To the wire."""
    wire = FakeWire()
    await connect(owner, wire).send_eof(leaving=leaving)

    assert wire.ended
    assert wire.left is leaving


async def test_writes_over_a_stream_without_buffers(owner: Owner, nursery: trio.Nursery) -> None:
    """Every byte goes through the writer task, in order."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    connection = connect(owner, StreamWire(ours, 10))
    expected = b"".join(b"%d," % number for number in range(200))

    async def write() -> None:
        for number in range(200):
            await connection.send(b"%d," % number)

    nursery.start_soon(write)
    received = bytearray()
    with trio.fail_after(5):
        while len(received) < len(expected):
            received += await theirs.receive_some(7)

    assert received == expected
