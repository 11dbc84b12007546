"""Layers: whatever pieces the wire below takes and gives, bytes and counts are exact."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

import speedo_trio.server
from speedo_trio.config import Limits
from speedo_trio.errors import ConnectionLost, MalformedFrame
from speedo_trio.events import Cause, CloseReason
from speedo_trio.io.border import Border
from speedo_trio.io.connection import WireConnection
from speedo_trio.io.layer import ANSWER_BYTES, STEP_BYTES, Layer, arrived, part
from speedo_trio.io.wire import Data, StreamWire, Wire
from speedo_trio.protocol.handler import Connection, Messages, ProtocolHandler
from speedo_trio.testing.memory import serve_in_memory
from tests.io.scripted import Boxes, ScriptedWire, WriterOwner, box, boxes, data_in

STEP = 3 + STEP_BYTES
"""A whole step, encoded."""


class Pushed(ScriptedWire, StreamWire):
    """A scripted wire that sends only by waiting, as any `StreamWire` does."""

    def __init__(self, **script: Any) -> None:
        super().__init__(**script)
        self.only_pushes = True


def pair(**script: Any) -> tuple[Boxes, ScriptedWire]:
    """A layer and the wire below it."""
    below = ScriptedWire(**script)
    return Boxes(below), below


async def send(wire: Wire, data: Data) -> int:
    """Send all, as a connection does; how much was told in all."""
    told = wire.send_nowait(data)
    while told < len(data):
        told += await wire.push(memoryview(data)[told:])
    return told


async def settled(wire: Wire, size: int = 2**20) -> list[bytes]:
    """All that comes when a task reads up to the end, or until nothing happens any more."""
    pieces: list[bytes] = []

    async def read() -> None:
        while not pieces or pieces[-1]:
            await wire.readable()
            data = wire.read(size)
            if data is not None:
                pieces.append(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return pieces


# Sending


@pytest.mark.parametrize("data", [b"hello", memoryview(b"hello")])
async def test_send_at_once(data: Data) -> None:
    """All, encoded, in one send of the wire below."""
    layer, below = pair()

    assert layer.send_nowait(data) == 5
    assert below.sent == box(b"D", b"hello")
    assert below.sends == 1


async def test_send_nothing() -> None:
    """It is sent without a send."""
    layer, below = pair()

    assert layer.send_nowait(b"") == 0
    assert below.sends == 0


async def test_much_is_sent_in_steps() -> None:
    """One call sends all that the wire below takes."""
    layer, below = pair()
    data = bytes(range(256)) * 1000

    assert layer.send_nowait(data) == len(data)
    assert below.sends == -(-len(data) // STEP_BYTES)
    assert data_in(below.sent) == data


async def test_only_whole_steps_are_told() -> None:
    """What is encoded and did not leave whole is not told; the next call begins with it."""
    layer, below = pair(room=2 * STEP + 1)
    data = bytes(range(256)) * 1000

    assert layer.send_nowait(data) == 2 * STEP_BYTES
    below.let(STEP - 2)
    assert layer.send_nowait(data[2 * STEP_BYTES :]) == 0
    below.let(1)
    assert layer.send_nowait(data[2 * STEP_BYTES :]) == STEP_BYTES
    below.let(2**60)
    assert layer.send_nowait(data[3 * STEP_BYTES :]) == len(data) - 3 * STEP_BYTES
    assert data_in(below.sent) == data


async def test_rest_may_be_followed_by_more() -> None:
    """The next call's data begins with the rest; what is behind it is encoded behind it."""
    layer, below = pair(room=4)

    assert layer.send_nowait(b"hello") == 0
    below.let(100)
    assert layer.send_nowait(b"hello world") == 11
    assert boxes(below.sent) == [(b"D", b"hello"), (b"D", b" world")]


async def test_push_waits_for_room() -> None:
    """It tells what left whole, then sends on as far as it goes."""
    layer, below = pair(room=0)
    data = bytes(range(256)) * 1000
    told: list[int] = []
    async with trio.open_nursery() as nursery:

        async def push() -> None:
            told.append(await layer.push(data))

        nursery.start_soon(push)
        await wait_all_tasks_blocked()
        below.let(STEP - 1)
        await wait_all_tasks_blocked()
        assert told == []
        below.let(STEP + 10)

    assert told == [2 * STEP_BYTES]
    below.let(2**60)
    assert await send(layer, data[2 * STEP_BYTES :]) == len(data) - 2 * STEP_BYTES
    assert data_in(below.sent) == data


@given(
    pieces=st.lists(st.integers(1, 3 * STEP_BYTES)),
    takes=st.lists(st.integers(0, 20_000) | st.just(2**60)),
    questions=st.lists(st.integers(0, 30)),
    kind=st.sampled_from([ScriptedWire, Pushed]),
    floors=st.integers(1, 2),
)
@settings(deadline=None)
async def test_whatever_is_taken(
    pieces: list[int], takes: list[int], questions: list[int], kind: type[ScriptedWire], floors: int
) -> None:
    """Bytes arrive intact and in order, each count is exact, each question has its answer."""
    below = kind(takes=takes)
    layer: Layer = Boxes(below) if floors == 1 else Boxes(Boxes(below))
    asked, told, handed = iter(questions), 0, bytearray()

    def left() -> bytearray:
        raw = bytearray(below.sent)
        return raw if floors == 1 else bytearray(data_in(raw))

    def ask() -> None:
        size = next(asked, None)
        if size is not None:
            question = box(b"?", bytes(size))
            below.arrive(question if floors == 1 else box(b"D", question))
            assert layer.read(2**20) is None

    for number, size in enumerate(pieces):
        data = bytes([number % 256]) * size
        handed += data
        ask()
        sent = layer.send_nowait(data)
        assert 0 <= sent <= size
        told += sent
        assert len(data_in(left())) == told
        while sent < size:
            ask()
            more = await layer.push(memoryview(data)[sent:])
            assert 0 < more <= size - sent
            sent += more
            told += more
            assert len(data_in(left())) == told
    for _ in questions:
        ask()
    assert await settled(layer) == []

    assert data_in(left()) == handed
    answers = [content for kind, content in boxes(left()) if kind == b"!"]
    assert answers == [bytes(size) for size in questions]


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns so often that each of their races comes about."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.000001)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restless")
async def test_threads_send_while_the_task_reads() -> None:
    """The codec is used by one thread at a time, and nothing is torn."""
    layer, below = pair()
    count = 3000

    def write() -> None:
        for number in range(count):
            data = b"%d," % number
            assert layer.send_nowait(data) == len(data)

    thread = threading.Thread(target=write)
    thread.start()
    read = bytearray()
    for number in range(count):
        below.arrive(box(b"D", b"%d," % number) + box(b"?", b""))
        read += layer.read(100) or b""
    thread.join()

    expected = b"".join(b"%d," % number for number in range(count))
    assert read == expected
    assert data_in(below.sent) == expected
    assert boxes(below.sent).count((b"!", b"")) == count


async def test_send_on_a_wire_that_breaks() -> None:
    """The loss comes from the wire below."""
    layer, below = pair(room=2)
    assert layer.send_nowait(b"x") == 0
    below.lose()
    with pytest.raises(ConnectionLost, match="lost by the test"):
        layer.send_nowait(b"x")
    with pytest.raises(ConnectionLost, match="lost by the test"):
        await layer.push(b"x")


async def test_cancelled_push_loses_nothing() -> None:
    """What is encoded waits for the next call."""
    layer, below = pair(room=4)
    with trio.move_on_after(0.01) as scope:
        await layer.push(b"hello")
    below.let(100)

    assert scope.cancelled_caught
    assert layer.send_nowait(b"hello") == 5
    assert boxes(below.sent) == [(b"D", b"hello")]


@pytest.mark.parametrize("floors", [1, 2])
async def test_cancelled_push_ends_sending_on_a_stream(floors: int) -> None:
    """Nobody knows what has left, and to send it again could double it."""
    below = Pushed(room=0)
    layer = Boxes(below) if floors == 1 else Boxes(Boxes(below))
    with trio.move_on_after(0) as scope:
        await layer.push(b"x")

    assert scope.cancelled_caught
    with pytest.raises(ConnectionLost, match="not known"):
        layer.send_nowait(b"x")
    with pytest.raises(ConnectionLost, match="not known"):
        await layer.push(b"x")


async def test_nothing_is_pushed_when_nothing_waits() -> None:
    """Somebody else may have sent it while this one waited for its turn."""
    layer, _ = pair()

    assert await layer._push_pending() == 0


# Receiving


async def test_read() -> None:
    """All that the wire below gives makes; None when there is nothing."""
    layer, below = pair()
    assert layer.read(100) is None
    below.arrive(box(b"D", b"hello") + box(b"D", b" world"))
    assert layer.unread() == 17

    assert layer.read(100) == b"hello world"
    assert layer.read(100) is None
    assert layer.unread() == 0


async def test_read_leaves_a_rest() -> None:
    """`readable` returns at once while there is one, and `unread` counts it."""
    below = ScriptedWire()
    layer = Inflating(below)
    below.arrive(b"abc")
    with trio.fail_after(5):
        await layer.readable()
        assert layer.read(4) == b"aabb"
        assert layer.unread() == 2
        await layer.readable()
        assert layer.read(1) == b"c"
        await layer.readable()
        assert layer.read(100) == b"c"
    assert layer.unread() == 0
    assert layer.read(100) is None


class Inflating(Boxes):
    """Gives each byte twice."""

    __slots__ = ()

    def _decode(self, raw: bytes) -> bytes:
        return bytes(byte for byte in raw for _ in range(2))


async def test_readable_with_a_rest_lets_others_run() -> None:
    """A peer of whom much is left starves nobody, and a cancel is heard."""
    below = ScriptedWire()
    layer = Inflating(below)
    below.arrive(b"abc")
    layer.read(1)
    with trio.move_on_after(0) as scope:
        await layer.readable()

    assert scope.cancelled_caught


async def test_rest_is_let_go_of() -> None:
    """When it was taken, no idle connection holds its memory."""
    below = ScriptedWire()
    layer = Inflating(below)
    below.arrive(bytes(10_000))
    while layer.read(6000):
        pass

    assert layer._rest.obj == b""


async def test_part_of_a_unit_is_nothing_yet() -> None:
    """The wire below is waited for again."""
    layer, below = pair()
    raw = box(b"D", b"hello")
    below.arrive(raw[:4])
    assert layer.read(10) is None
    with trio.move_on_after(0.01) as scope:
        await layer.readable()
    assert scope.cancelled_caught
    below.arrive(raw[4:])
    with trio.fail_after(5):
        await layer.readable()

    assert layer.read(10) == b"hello"


async def test_end_of_the_wire_below() -> None:
    """Comes after what was received, and stays."""
    layer, below = pair()
    below.arrive(box(b"D", b"x"))
    below.end()

    assert await settled(layer) == [b"x", b""]
    assert await settled(layer) == [b""]


async def test_end_that_the_layer_finds() -> None:
    """Comes after what was received with it; what comes behind it is not read."""
    layer, below = pair()
    below.arrive(box(b"D", b"x") + box(b"E", b""), b"more")

    assert await settled(layer) == [b"x", b""]
    assert await settled(layer) == [b""]
    assert below.unread() == 4


async def test_end_is_told_at_once() -> None:
    """Though nothing more comes from the wire below."""
    layer, below = pair()
    below.arrive(box(b"D", b"x") + box(b"E", b""))

    assert await settled(layer) == [b"x", b""]


async def test_breach_comes_after_what_was_received() -> None:
    """Then what comes is thrown away, up to the end; `readable` waits for it."""
    layer, below = pair()
    below.arrive(box(b"D", b"x") + box(b"X", b""))
    assert layer.read(100) == b"x"
    with trio.fail_after(5):
        await layer.readable()
    with pytest.raises(MalformedFrame, match="an X"):
        layer.read(10)

    assert await settled(layer) == []
    below.arrive(box(b"D", b"z"))
    assert await settled(layer) == []
    below.end()
    assert await settled(layer) == [b""]


async def test_first_failure_is_the_one_that_is_told() -> None:
    """What follows from it doesn't hide it."""
    layer, below = pair()
    below.arrive(box(b"X", b"") + box(b"L", b"") + box(b"E", b""))
    with pytest.raises(MalformedFrame):
        layer.read(100)


async def test_read_of_a_broken_wire() -> None:
    """The loss comes from the wire below."""
    layer, below = pair()
    below.lose()
    with pytest.raises(ConnectionLost, match="lost by the test"):
        layer.read(100)


# Answers


async def test_answer_leaves_at_once() -> None:
    """When the wire below takes it."""
    layer, below = pair()
    below.arrive(box(b"?", b"1") + box(b"D", b"x") + box(b"?", b"2"))

    assert layer.read(100) == b"x"
    assert boxes(below.sent) == [(b"!", b"1"), (b"!", b"2")]
    assert below.sends == 1


async def test_answer_leaves_with_the_next_read() -> None:
    """Though that finds nothing."""
    layer, below = pair(room=3)
    below.arrive(box(b"?", b"1"))
    assert layer.read(100) is None
    below.let(100)
    assert layer.read(100) is None

    assert boxes(below.sent) == [(b"!", b"1")]


async def test_answer_leaves_with_the_next_send() -> None:
    """Before the data, and is not counted as data."""
    layer, below = pair(room=3)
    below.arrive(box(b"?", b"1"))
    layer.read(100)
    below.let(100)

    assert layer.send_nowait(b"hello") == 5
    assert boxes(below.sent) == [(b"!", b"1"), (b"D", b"hello")]


async def test_answer_before_data_is_not_counted() -> None:
    """While it leaves, the data behind it has not."""
    layer, below = pair(room=0)
    below.arrive(box(b"?", bytes(20)))
    layer.read(100)
    below.let(23)
    assert layer.send_nowait(b"hello") == 0
    below.let(7)
    assert layer.send_nowait(b"hello") == 0
    below.let(1)
    assert layer.send_nowait(b"hello") == 5


async def test_answer_behind_data_that_waits() -> None:
    """Leaves behind it, and the data is told as soon as it has left itself."""
    layer, below = pair(room=3)
    assert layer.send_nowait(b"hello") == 0
    below.arrive(box(b"?", b"1"))
    layer.read(100)
    below.let(6)

    assert layer.send_nowait(b"hello") == 5
    below.let(100)
    assert layer.send_nowait(b"!") == 1
    assert boxes(below.sent) == [(b"D", b"hello"), (b"!", b"1"), (b"D", b"!")]


@pytest.mark.parametrize("pushes", [True, False])
async def test_reading_sends_data_that_waits(*, pushes: bool) -> None:
    """It is told by the next call, which has nothing more to send."""
    layer, below = pair(room=3)
    assert layer.send_nowait(b"hello") == 0
    below.let(100)
    below.arrive(box(b"?", b"1"))
    layer.read(100)
    assert boxes(below.sent) == [(b"D", b"hello"), (b"!", b"1")]

    sends = below.sends
    assert (await layer.push(b"hello") if pushes else layer.send_nowait(b"hello")) == 5
    assert below.sends == sends


async def test_answer_while_a_push_waits() -> None:
    """Nobody sends beside the push."""
    layer, below = pair(room=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(layer.push, b"hello")
        await wait_all_tasks_blocked()
        below.arrive(box(b"?", b"1"))
        below.room = 8  # and nobody is told
        assert layer.read(100) is None
        assert below.sent == b""
        assert layer.send_nowait(b"hello") == 0
        assert below.sent == b""
        below.stir()
        await wait_all_tasks_blocked()
        assert boxes(below.sent) == [(b"D", b"hello")]
        below.let(100)

    assert boxes(below.sent) == [(b"D", b"hello"), (b"!", b"1")]


async def test_answers_are_bounded() -> None:
    """A peer that only asks is lost, after what it sent before."""
    layer, below = pair(room=0)
    question = box(b"?", bytes(1000))
    count = ANSWER_BYTES // len(question)
    below.arrive(*[question] * count)
    for _ in range(count):
        assert layer.read(2000) is None
    below.arrive(box(b"D", b"last") + question)

    assert layer.read(2000) == b"last"
    with pytest.raises(ConnectionLost, match=r"6\d+ bytes of answers wait, allowed are 65536"):
        layer.read(2000)


async def test_answer_to_a_peer_that_is_gone() -> None:
    """What it had sent before is read first."""
    layer, below = pair()
    below.arrive(box(b"D", b"last") + box(b"?", b""))
    below._send = partial(fail, ConnectionLost("broken pipe"))  # type: ignore[method-assign]  # sending only

    assert layer.read(100) == b"last"
    with pytest.raises(ConnectionLost, match="broken pipe"):
        layer.read(100)


def fail(error: Exception, *_: object) -> Any:
    """Raise it."""
    raise error


@pytest.mark.parametrize("kind", [ScriptedWire, Pushed])
async def test_readable_sends_answers(kind: type[ScriptedWire]) -> None:
    """Before it waits for the peer, if no writer will."""
    below = kind(room=0)
    layer = Boxes(below)
    below.arrive(box(b"?", b"1"))
    assert layer.read(100) is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(layer.readable)
        await wait_all_tasks_blocked()
        below.let(100)
        await wait_all_tasks_blocked()
        assert boxes(below.sent) == [(b"!", b"1")]
        below.arrive(b"x")


@pytest.mark.parametrize("kind", [ScriptedWire, Pushed])
async def test_writer_sends_the_answers_behind(kind: type[ScriptedWire]) -> None:
    """The one that reads waits for bytes by then."""
    below = kind(room=0)
    layer = Boxes(below)
    assert layer.send_nowait(b"hello") == 0
    below.arrive(box(b"?", b"1"))
    assert layer.read(100) is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(layer.readable)
        nursery.start_soon(layer.push, b"hello")
        await wait_all_tasks_blocked()
        below.let(100)
        await wait_all_tasks_blocked()
        assert boxes(below.sent) == [(b"D", b"hello"), (b"!", b"1")]
        below.arrive(b"x")


@pytest.mark.parametrize("kind", [ScriptedWire, Pushed])
async def test_writer_waits_for_the_reader_to_have_sent(kind: type[ScriptedWire]) -> None:
    """One task sends at a time."""
    below = kind(room=0)
    layer = Boxes(below)
    below.arrive(box(b"?", b"1"))
    assert layer.read(100) is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(layer.readable)
        await wait_all_tasks_blocked()
        assert layer.send_nowait(b"hello") == 0
        nursery.start_soon(layer.push, b"hello")
        await wait_all_tasks_blocked()
        below.let(4)
        await wait_all_tasks_blocked()
        assert boxes(below.sent) == [(b"!", b"1")]
        below.arrive(b"x")  # is not for the writer to wait for
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        below.let(100)

    assert boxes(below.sent) == [(b"!", b"1"), (b"D", b"hello")]


async def test_cancelled_answer_loses_nothing() -> None:
    """It waits for the next call."""
    layer, below = pair(room=3)
    below.arrive(box(b"?", b"1"), box(b"D", b"x"))
    assert layer.read(4) is None
    with trio.move_on_after(0.01) as scope:
        await layer.readable()
    below.let(100)

    assert scope.cancelled_caught
    assert layer.read(100) == b"x"
    assert layer.send_nowait(b"y") == 1
    assert boxes(below.sent) == [(b"!", b"1"), (b"D", b"y")]


async def test_cancelled_answer_ends_sending_on_a_stream() -> None:
    """Reading goes on."""
    below = Pushed(room=0)
    layer = Boxes(below)
    below.arrive(box(b"?", b"1"), box(b"D", b"x"))
    assert layer.read(100) is None
    with trio.move_on_after(0) as scope:
        await layer.readable()

    assert scope.cancelled_caught
    assert layer.read(100) == b"x"
    with pytest.raises(ConnectionLost, match="not known"):
        layer.send_nowait(b"x")


# The rest of the wire


async def test_addresses_are_those_of_the_wire_below() -> None:
    """Both ends."""
    layer, below = pair()

    assert (layer.peer, layer.local) == (below.peer, below.local)


async def test_farewell() -> None:
    """Leaves behind all answers, then the wire below says its own."""
    layer, below = pair(room=3)
    below.arrive(box(b"?", b"1"))
    layer.read(100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(layer.send_eof)
        await wait_all_tasks_blocked()
        assert below.eofs == 0
        below.let(100)

    assert boxes(below.sent) == [(b"!", b"1"), (b"F", b"")]
    assert below.eofs == 1


async def test_farewell_does_not_wait_for_ever(autojump_clock: MockClock) -> None:
    """A peer that takes nothing gets the end of the wire below."""
    layer, below = pair(room=3 - 1)
    before = trio.current_time()
    await layer.send_eof()

    assert trio.current_time() - before == 1.0
    assert below.eofs == 1


async def test_close() -> None:
    """At once, with no farewell: whoever is cut off must not take it for the end."""
    layer, below = pair(room=0)
    await layer.close()

    assert below.closed
    assert layer.farewells == 0


# What takes long to decode


class Slow(Boxes):
    """Takes a processor a microsecond for each byte, times what the test says."""

    seconds = 0.0
    factor = 1.0

    def _decode(self, raw: bytes) -> bytes:
        Slow.seconds += len(raw) * 1e-6 * Slow.factor
        return super()._decode(raw)


class Counting(ScriptedWire):
    """Remembers what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def read(self, size: int) -> bytes | None:
        self.asked.append(size)
        return super().read(size)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> type[Slow]:
    """Decoding takes the time that it says, and not what this machine needs for it."""
    monkeypatch.setattr("speedo_trio.io.layer.thread_time", lambda: Slow.seconds)
    monkeypatch.setattr(Slow, "factor", 1.0)
    return Slow


def test_read_takes_less_after_what_took_long(slow: type[Slow]) -> None:
    """So that nobody waits for long beside a peer that sends the dearest that there is."""
    below = Counting()
    layer = slow(below)
    below.arrive(box(b"?", b"x") * 10_000)
    for _ in range(20):
        assert layer.read(16_384) is None

    assert below.asked[:2] == [16_384, 4096]
    assert set(below.asked[10:]) == {512, 1024}  # which is about a millisecond


def test_read_takes_no_less_than_the_least(slow: type[Slow]) -> None:
    """However long that takes."""
    slow.factor = 1000.0
    below = Counting()
    layer = slow(below)
    below.arrive(box(b"?", b"x") * 10_000)
    for _ in range(20):
        layer.read(16_384)

    assert min(below.asked) == below.asked[-1] == 512


def test_read_takes_more_again_when_it_is_quick(slow: type[Slow]) -> None:
    """After a few reads as much as is asked for."""
    slow.factor = 1000.0
    below = Counting()
    layer = slow(below)
    below.arrive(box(b"D", bytes(10_000)) * 20)
    for _ in range(5):
        layer.read(16_384)
    slow.factor = 0.0
    while below.unread():
        layer.read(16_384)

    assert below.asked.count(16_384) > 5
    assert 512 in below.asked


# What has arrived


async def drained(wire: Wire, size: int = 10) -> list[bytes]:
    """The pieces that `arrived` gives, with time for a peer to send more between them."""
    pieces = []
    for piece in arrived(wire, size):
        pieces.append(piece)
        await trio.lowlevel.checkpoint()
    return pieces


@pytest.mark.parametrize("floors", [1, 2])
async def test_arrived_is_all_that_has_arrived(floors: int) -> None:
    """What was decoded, what waits below, and what begins there; whatever hides between."""
    below = ScriptedWire()
    layer: Layer = Boxes(below) if floors == 1 else Boxes(Boxes(below))
    raw = [box(b"D", b"0123456789ab"), box(b"?", b"x" * 20), *[box(b"D", b"y")] * 3]
    below.arrive(*(raw if floors == 1 else (box(b"D", each) for each in raw)))

    assert b"".join(await drained(layer)) == b"0123456789abyyy"
    assert max(map(len, await drained(layer)), default=0) <= 10


async def test_arrived_tells_of_what_gave_nothing() -> None:
    """An empty piece for each read below, so that whoever takes the pieces can rest in between."""
    layer, below = pair()
    below.arrive(box(b"?", b"x") * 10)

    assert b"" in await drained(layer)
    assert len(boxes(below.sent)) == 10


async def test_arrived_begins_with_the_rest() -> None:
    """Then come the bytes that wait below; a unit that is not complete is left."""
    below = ScriptedWire()
    layer = Inflating(below)
    below.arrive(b"abc")
    assert layer.read(4) == b"aabb"
    below.arrive(b"de")

    assert await drained(layer, 3) == [b"cc", b"dde", b"e"]
    assert await drained(layer, 3) == []


async def test_arrived_after_half_a_unit() -> None:
    """A unit that had begun long before and is complete now is given whole."""
    layer, below = pair()
    raw = box(b"D", bytes(1000))
    below.arrive(raw[:-1])
    while below.unread():
        assert layer.read(100) is None
    below.arrive(raw[-1:])

    assert b"".join(await drained(layer)) == bytes(1000)


async def test_arrived_cannot_be_made_longer() -> None:
    """Though the peer goes on sending."""
    layer, below = pair()
    below.arrive(*[box(b"D", b"x")] * 5)
    pieces = 0
    for _ in arrived(layer, 100):
        below.arrive(*[box(b"D", b"x"), box(b"?", b"x")] * 5)
        pieces += 1
        assert pieces < 30

    assert pieces <= 5


async def test_arrived_ends_with_the_stream() -> None:
    """What is behind the end is left below."""
    layer, below = pair()
    below.arrive(box(b"D", b"x") + box(b"E", b""), box(b"D", b"y"))

    assert await drained(layer, 100) == [b"x"]
    assert await drained(layer, 100) == []


async def test_arrived_raises_what_is_not_allowed() -> None:
    """After what came before it."""
    layer, below = pair()
    below.arrive(box(b"D", b"x") + box(b"X", b""), box(b"D", b"y"))
    pieces = arrived(layer, 100)

    assert next(pieces) == b"x"
    with pytest.raises(MalformedFrame):
        next(pieces)


async def test_arrived_on_a_plain_wire() -> None:
    """Up to what it held, and no further if it held less than it told."""
    below = ScriptedWire()
    below.arrive(b"abc", b"defgh")
    pieces = arrived(below, 4)

    assert next(pieces) == b"abc"
    below.arrive(b"not these")
    assert list(pieces) == [b"defg", b"h"]
    below.unread = lambda: 100  # type: ignore[method-assign]  # an estimate that is too high
    assert list(arrived(below, 100)) == [b"not these"]


# Parting


async def test_part() -> None:
    """All words leave, then the end; what the peer still sends is thrown away."""
    below = ScriptedWire(takes=[2, 1])
    below.arrive(b"late", b"later")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(part, below, b"goodbye")
        await wait_all_tasks_blocked()
        assert below.sent == b"goodbye"
        assert below.eofs == 1
        assert below.unread() == 0
        below.end()

    assert not below.closed


@pytest.mark.parametrize("room", [0, 100])
async def test_part_takes_no_longer_than_it_may(room: int, autojump_clock: MockClock) -> None:
    """From a peer that doesn't read, and from one that doesn't end."""
    below = ScriptedWire(room=room)
    before = trio.current_time()
    await part(below, b"goodbye", 3)

    assert trio.current_time() - before == 3


async def test_part_from_a_peer_that_is_gone() -> None:
    """Is no loss any more."""
    below = ScriptedWire()
    below.lose()
    await part(below, b"goodbye")


# Under a connection


@pytest.mark.parametrize("kind", [ScriptedWire, Pushed])
async def test_many_threads_write_to_a_slow_reader(
    kind: type[ScriptedWire], nursery: trio.Nursery
) -> None:
    """Who also asks all the time; every byte comes, in the order of each thread."""
    below = kind(room=0)
    layer = Boxes(below)
    owner = WriterOwner(nursery)
    limits = Limits(unsent_high=10**8, unsent_bytes=10**8)
    connection = owner.connection = WireConnection(1, layer, owner, Border(), limits)

    def write(who: int) -> None:
        for number in range(1000):
            connection.replies.append(b"%d:%d," % (who, number))
            connection.flush()

    threads = [threading.Thread(target=write, args=(who,)) for who in range(3)]
    for thread in threads:
        thread.start()
    asked = 0
    with trio.fail_after(30):
        while any(thread.is_alive() for thread in threads) or not connection.idle:
            below.let(777)
            if below.room < 1000:
                asked += 1
                below.arrive(box(b"?", b"x"))
                assert layer.read(100) is None
            await trio.lowlevel.checkpoint()
    below.let(10**6)
    assert await settled(layer) == []

    writes = [tuple(map(int, each.split(b":"))) for each in data_in(below.sent).split(b",")[:-1]]
    for who in range(3):
        assert [number for writer, number in writes if writer == who] == list(range(1000))
    assert boxes(below.sent).count((b"!", b"x")) == asked
    assert connection.sent == len(data_in(below.sent))


async def test_drain_handles_what_a_layer_has_received(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests behind a question, which reads as nothing, are not lost."""

    class OverBoxes(Boxes):
        def __init__(self, stream: trio.abc.Stream, size: int) -> None:
            below = ScriptedWire()
            wires.append(below)
            super().__init__(below)

    class Handler(ProtocolHandler):
        def __init__(self, connection: Connection) -> None:
            pass

        def handle(self, data: bytes) -> Messages:
            life.append(data)
            return ()

        def draining(self) -> Messages:
            life.append("draining")
            return ()

        def closed(self, reason: CloseReason) -> None:
            life.append(reason.cause)

    wires: list[ScriptedWire] = []
    life: list[object] = []
    monkeypatch.setattr(speedo_trio.server, "StreamWire", OverBoxes)
    async with serve_in_memory(Handler) as server:
        server.connect()
        await wait_all_tasks_blocked()
        question = box(b"?", bytes(20_000))
        wires[0]._arrived += [question, box(b"D", b"first"), question, box(b"D", b"second")]
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.server.drain)
                await wait_all_tasks_blocked(0.01)
                wires[0].end()

    assert life == [b"first", b"second", "draining", Cause.DRAINED]


async def test_heard() -> None:
    """Grows with what any of the layers receives, though the one above it learns nothing."""
    below = ScriptedWire()
    layer = Boxes(Boxes(below))
    assert layer.heard == 0
    below.arrive(box(b"?", b"alive"))
    assert layer.read(100) is None
    assert layer.heard == 8
    below.arrive(box(b"D", box(b"?", b"alive")))
    assert layer.read(100) is None
    assert layer.heard == 8 + 11 + 8
    assert layer.read(100) is None
    assert layer.heard == 8 + 11 + 8
