"""Mailboxes: order, nothing torn apart, bounds, and counts that add up, whatever the room."""

from __future__ import annotations

import tracemalloc

import pytest
from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from speedo_trio.broker.mailbox import LAST_BYTES, MOST_ANSWERS
from speedo_trio.pubsub.outbox import Overflow
from tests.broker.lines import Desk

MEBI = 2**20


# With room


def test_a_turn_leaves_joined() -> None:
    """What is put leaves at the end of the turn, in order, with one write."""
    desk = Desk(room=100)
    assert [desk.mailbox.put(each) for each in (b"1", b"2", b"3")] == [True] * 3
    assert desk.line.written == []
    desk.turn()

    assert desk.line.written == [b"123"]
    assert desk.counts == (3, 0, 0, 0)
    assert not desk.mailbox.congested


def test_one_frame_is_not_copied() -> None:
    """All subscribers write the very bytes of the message."""
    desk, frame = Desk(room=100), b"x" * 100
    desk.put(frame)

    assert desk.line.written[0] is frame


def test_it_is_among_the_dirty_once_a_turn() -> None:
    """However much is put, and with room or without."""
    desk = Desk(room=4)
    for frame in b"1234":
        desk.mailbox.put(bytes([frame]))
    assert desk.dirty == [desk.mailbox]
    desk.turn()
    desk.put(b"5")
    for frame in b"67":
        desk.mailbox.put(bytes([frame]))
    assert desk.dirty == [desk.mailbox]


def test_several_messages_in_one_piece() -> None:
    """They are counted each, and what has no room waits in order."""
    desk = Desk(room=100)
    desk.mailbox.put_run(b"123", 3)
    desk.put(b"4")
    assert [b"1234"] == desk.line.written
    assert (4, 0, 0, 0) == desk.counts


def test_several_messages_without_room() -> None:
    """They wait, are torn apart by the room only, and are lost as what they are."""
    desk = Desk(room=2)
    desk.mailbox.put_run(b"123", 3)
    desk.mailbox.answer(b"!")
    desk.put(b"4")

    assert [b"12"] == desk.line.written
    assert 4 == desk.mailbox.waiting
    assert desk.mailbox.congested
    desk.mailbox.close()
    assert 1 == desk.mailbox.lost
    desk.mailbox.put_run(b"56", 2)
    assert 3 == desk.mailbox.delivered


def test_answers_leave_with_the_turn() -> None:
    """In their order; they are no messages, and counted as none."""
    desk = Desk(room=100)
    desk.mailbox.put(b"1")
    desk.mailbox.answer(b"!")
    desk.mailbox.put(b"2")
    assert desk.dirty == [desk.mailbox]
    desk.turn()

    assert desk.line.written == [b"1!2"]
    assert desk.counts == (2, 0, 0, 0)


# Without room


@pytest.mark.parametrize("room", range(1, 12))
def test_in_pieces_and_in_order(room: int) -> None:
    """Frames of any length leave through room of any size, none torn apart by another."""
    desk = Desk(room=room)
    desk.put(b"one,", b"three,", b"x,")
    desk.put(b"and,")
    desk.mailbox.answer(b"ANSWER,")
    desk.turn()
    desk.put(b"last,")
    assert desk.line.sent == b"one,three,x,"[:room]
    for _ in range(28):
        desk.let(room)

    assert not desk.mailbox.congested
    assert desk.line.sent == b"one,three,x,and,ANSWER,last,"
    assert desk.counts == (5, 0, 0, 0)
    assert max(map(len, desk.line.written)) <= room


def test_an_answer_that_finds_no_room_waits() -> None:
    """With a little room it leaves in pieces, so that the connection tells when there is more."""
    desk = Desk(room=3)
    desk.mailbox.answer(b"answer")
    desk.turn()
    assert (desk.line.sent, desk.line.room, desk.mailbox.congested) == (b"ans", 0, True)
    desk.put(b"message")
    desk.let(4)
    assert desk.line.sent == b"answerm"
    desk.let(100)

    assert desk.line.sent == b"answermessage"
    assert desk.counts == (1, 0, 0, 0)


def test_a_message_that_has_begun_waits() -> None:
    """It counts as delivered when its last byte was written; what waits of it is told."""
    desk = Desk(room=4)
    desk.put(b"0123456789")
    assert desk.counts == (0, 0, 0, 1)
    assert desk.mailbox.waiting_bytes == 6
    desk.put(b"abc")
    assert desk.counts == (0, 0, 0, 2)
    assert desk.mailbox.waiting_bytes == 9
    desk.let(6)
    assert desk.counts == (1, 0, 0, 1)
    desk.let(6)
    assert desk.counts == (2, 0, 0, 0)
    assert desk.mailbox.waiting_bytes == 0


def test_an_answer_is_no_message_that_waits() -> None:
    """Not even where a part of it was written."""
    desk = Desk(room=1)
    desk.mailbox.put(b"m")
    desk.mailbox.answer(b"answer")
    desk.turn()
    assert (desk.line.sent, desk.mailbox.congested) == (b"m", True)

    assert (desk.counts, desk.mailbox.waiting_bytes) == ((1, 0, 0, 0), 0)
    desk.let(1)
    assert (desk.counts, desk.mailbox.waiting_bytes) == ((1, 0, 0, 0), 0)


def test_room_without_being_told() -> None:
    """What is put while something waits leaves at the end of the turn, if there is room by then."""
    desk = Desk(room=2)
    desk.put(b"1234")
    desk.line.room = 100
    desk.put(b"5")

    assert desk.line.sent == b"12345"
    assert not desk.mailbox.congested


def test_a_large_frame_is_never_copied_whole() -> None:
    """A hundred subscribers who don't read share its bytes."""
    frame = bytes(16 * MEBI)
    desks = [Desk(room=65_536, most_bytes=2**30) for _ in range(100)]
    tracemalloc.start()
    for desk in desks:
        desk.put(frame)
        desk.put(frame)
        desk.let(65_536)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 2 * 100 * 65_536 + MEBI
    assert {len(desk.line.sent) for desk in desks} == {131_072}


# Bounds


def full(overflow: Overflow, **bounds: int) -> Desk:
    """A mailbox without room, in which three messages of two bytes wait."""
    desk = Desk(overflow=overflow, **bounds)
    for number in range(3):
        assert desk.put(b"%02d" % number) == [True]
    return desk


@pytest.mark.parametrize("bounds", [{"messages": 3}, {"most_bytes": 5}])
def test_the_newest_is_dropped(bounds: dict[str, int]) -> None:
    """What comes is, at either bound, and the caller learns of it."""
    desk = Desk(overflow=Overflow.DROP_NEWEST, **bounds)
    assert desk.put(b"0") == [True]  # it waits as the one of its turn
    taken = [desk.put(b"%02d" % number)[0] for number in range(5)]
    count = taken.count(True)

    assert taken == [True] * count + [False] * (5 - count)
    assert desk.counts == (0, 5 - count, 0, count + 1)
    desk.let(100)
    assert desk.line.sent == b"0" + b"0001020304"[: 2 * count]


@pytest.mark.parametrize("bounds", [{"messages": 2}, {"most_bytes": 5}])
def test_the_oldest_is_dropped(bounds: dict[str, int]) -> None:
    """But not what is being sent."""
    desk = Desk(room=1, overflow=Overflow.DROP_OLDEST, **bounds)
    assert desk.put(b"begun") == [True]
    assert [desk.put(b"%02d" % number)[0] for number in range(5)] == [True] * 5

    assert desk.counts == (0, 3, 0, 3)
    desk.let(100)
    assert desk.line.sent == b"begun0304"
    assert desk.counts == (3, 3, 0, 0)


def test_it_ends() -> None:
    """Once, with what waits; what was there is lost, and nothing more is taken."""
    desk = full(Overflow.DISCONNECT, messages=2)
    assert desk.put(b"one", b"more") == [False, False]
    assert desk.too_slow == ["3 messages wait"]

    assert desk.counts == (0, 1, 3, 0)
    desk.let(100)
    desk.mailbox.answer(b"!")
    assert desk.line.sent == b""


def test_drop_oldest_keeps_answers_in_their_order() -> None:
    """An answer comes after what was put before it, or would have been."""
    desk = Desk(messages=2, overflow=Overflow.DROP_OLDEST)
    desk.put(b"a")
    desk.put(b"b")
    desk.mailbox.answer(b"1")
    desk.put(b"c")
    desk.mailbox.answer(b"2")
    desk.put(b"d")
    desk.put(b"e")
    desk.let(100)

    assert desk.line.sent == b"a12de"
    assert desk.counts == (3, 2, 0, 0)


def test_answers_are_bounded_by_their_number() -> None:
    """Who asks without reading is ended; what it asked before is answered in order."""
    desk = Desk()
    desk.put(b"m")
    for number in range(MOST_ANSWERS):
        desk.mailbox.answer(b"%03d," % number)
    assert desk.too_slow == []
    desk.mailbox.answer(b"!")

    assert desk.too_slow == ["1000 answers wait"]


def test_answers_are_bounded_by_their_bytes() -> None:
    """A single one may have more; what was sent makes room again."""
    desk = Desk(most_bytes=10)
    desk.put(b"m")
    desk.mailbox.answer(b"x" * 30)
    desk.let(31)
    assert not desk.mailbox.congested
    desk.line.room = 0
    desk.put(b"m")
    for _ in range(10):
        desk.mailbox.answer(b"12345")
        desk.mailbox.answer(b"67890")
        desk.let(10)
    assert desk.too_slow == []
    desk.mailbox.answer(b"12345")
    desk.mailbox.answer(b"67890")
    desk.mailbox.answer(b"!")
    assert desk.too_slow == ["2 answers wait"]


# The end


def test_close_sends_the_last() -> None:
    """After what was put in the turn; what waits is lost."""
    desk = Desk(room=100)
    desk.mailbox.put(b"1")
    assert desk.mailbox.close(b"last")
    assert desk.line.sent == b"1last"
    assert desk.counts == (1, 0, 0, 0)
    assert not desk.mailbox.close(b"again")
    assert desk.put(b"2") == [False]
    assert desk.line.sent == b"1last"
    assert desk.counts == (1, 0, 0, 0)


def test_close_between_frames() -> None:
    """The last comes at once, be there room or not."""
    desk = Desk(room=4)
    desk.put(b"1234", b"5678")
    assert desk.mailbox.close(b"last")
    assert desk.line.sent == b"1234last"
    assert desk.counts == (1, 0, 1, 0)


def test_close_inside_a_frame() -> None:
    """The frame is sent to its end first; it is delivered."""
    desk = Desk(room=2)
    desk.put(b"1234", b"5678")
    assert desk.mailbox.close(b"last")

    assert desk.line.sent == b"1234last"
    assert desk.counts == (1, 0, 1, 0)


def test_close_inside_a_long_frame() -> None:
    """Nothing is sent when too much of it is left; it is lost."""
    desk = Desk(room=10)
    desk.put(b"x" * (LAST_BYTES + 11))
    assert not desk.mailbox.close(b"last")
    assert desk.line.sent == b"x" * 10
    assert desk.counts == (0, 0, 1, 0)
    desk = Desk(room=10)
    desk.put(b"x" * (LAST_BYTES + 10))
    assert desk.mailbox.close(b"last")


def test_close_of_a_line_that_is_gone() -> None:
    """What waits is lost, the frame that had begun among it."""
    desk = Desk(room=2)
    desk.put(b"1234", b"5678")
    desk.line.closed = True

    assert not desk.mailbox.close(b"last")
    assert desk.counts == (0, 0, 2, 0)
    assert not desk.mailbox.congested


def test_close_without_a_last() -> None:
    """Nothing need be written."""
    desk = Desk()
    assert desk.mailbox.close()
    assert desk.line.written == []


# Against a plain model


@define
class Item:
    """Something that waits in the model."""

    frame: bytes
    message: bool
    bounded: bool
    """Whether it is a message in the outbox, or an answer of which nothing was sent."""


class Model:
    """The plain way: one list, from the front of which bytes are sent."""

    messages, most_bytes = 4, 20

    def __init__(self, overflow: Overflow) -> None:
        self.overflow = overflow
        self.turn: list[Item] = []
        self.queue: list[Item] = []
        self.sent = b""
        self.room = 0
        self.put_count = self.dropped = self.delivered = self.lost = 0
        self.ended = False
        self.dirty = False

    @property
    def waiting(self) -> int:
        return sum(item.message for item in self.queue)

    def end_turn(self) -> None:
        """What waits is looked at only if something was put."""
        if self.dirty and not self.ended:
            self.flush()
        self.dirty = False

    def flush(self) -> None:
        self.queue += self.turn
        self.turn = []
        while self.room and self.queue:
            item = self.queue[0]
            part = item.frame[: self.room]
            self.sent += part
            self.room -= len(part)
            item.frame = item.frame[len(part) :]
            item.bounded = False
            if not item.frame:
                del self.queue[0]
                self.delivered += item.message

    def put(self, frame: bytes) -> bool:
        self.put_count += not self.ended
        if self.ended:
            return False
        item = Item(frame, message=True, bounded=bool(self.queue))
        if not item.bounded:
            self.turn.append(item)
            self.dirty = True
            return True
        if self.overflow is Overflow.DROP_OLDEST:
            while self.is_full(item):
                self.queue.remove(self.bounded(message=True)[0])
                self.dropped += 1
        if self.is_full(item):
            self.dropped += 1
            if self.overflow is Overflow.DISCONNECT:
                self.end()
            return False
        self.queue.append(item)
        self.dirty = True
        return True

    def answer(self, frame: bytes) -> None:
        item = Item(frame, message=False, bounded=bool(self.queue))
        if not (self.ended or item.bounded):
            self.turn.append(item)
            self.dirty = True
            return
        others = self.bounded(message=False)
        if others and sum(len(each.frame) for each in [*others, item]) > self.most_bytes:
            self.end()
        elif not self.ended:
            self.queue.append(item)
            self.flush()

    def bounded(self, *, message: bool) -> list[Item]:
        return [item for item in self.queue if item.bounded and item.message == message]

    def is_full(self, item: Item) -> bool:
        items = [*self.bounded(message=True), item]
        return len(items) > self.messages or sum(len(e.frame) for e in items) > self.most_bytes

    def end(self) -> None:
        if self.ended:
            return
        self.flush()
        if self.queue and not self.queue[0].bounded and self.begun(self.queue[0]):
            self.sent += self.queue[0].frame
            self.delivered += self.queue.pop(0).message
        self.lost = self.waiting
        self.queue.clear()
        self.sent += LAST
        self.ended = True

    def begun(self, item: Item) -> bool:
        """Whether a part was sent of what waits."""
        return not self.sent.endswith(END) and bool(self.sent)


END, LAST = b"\n", b"LAST\n"
FRAMES = st.integers(1, 9).map(lambda size: b"x" * (size - 1) + END)


class MailboxMachine(RuleBasedStateMachine):
    """A mailbox beside the model. Frames end like lines, so that one sees where one was torn."""

    overflow: Overflow

    def __init__(self) -> None:
        super().__init__()
        self.model = model = Model(self.overflow)
        self.desk = Desk(
            messages=model.messages, most_bytes=model.most_bytes, overflow=self.overflow
        )
        self.desk.last = LAST
        self.number = 0

    def numbered(self, frame: bytes) -> bytes:
        """Frames of the same length differ."""
        self.number += 1
        return b"%c" % (97 + self.number % 26) + frame

    @rule(frame=FRAMES)
    def put(self, frame: bytes) -> None:
        frame = self.numbered(frame)
        assert self.model.put(frame) == self.desk.mailbox.put(frame)

    @rule(frame=FRAMES)
    def answer(self, frame: bytes) -> None:
        frame = self.numbered(frame)
        self.model.answer(frame)
        self.desk.mailbox.answer(frame)

    @rule()
    def end_turn(self) -> None:
        self.model.end_turn()
        self.desk.turn()

    @rule(room=st.integers(0, 30))
    def let(self, room: int) -> None:
        self.end_turn()
        self.model.room = room
        self.model.flush()
        self.desk.let(room)

    @rule(room=st.integers(0, 30))
    def find_room(self, room: int) -> None:
        self.end_turn()
        self.model.room = self.desk.line.room = room

    @precondition(lambda self: self.number > 20)
    @rule()
    def close(self) -> None:
        assert self.desk.mailbox.close(LAST) is not self.model.ended
        self.model.end()

    @invariant()
    def the_same(self) -> None:
        model, desk = self.model, self.desk
        assert model.sent == desk.line.sent
        delivered, dropped, lost, waiting = desk.counts
        assert (model.dropped, model.lost, model.waiting) == (dropped, lost, waiting)
        in_turn = sum(item.message for item in model.turn)
        assert model.delivered + in_turn == delivered
        assert delivered + dropped + lost + waiting == model.put_count
        assert bool(model.queue) == desk.mailbox.congested
        assert sum(len(item.frame) for item in model.queue if item.message) == (
            desk.mailbox.waiting_bytes
        )


def machine_of(policy: Overflow) -> type:
    """The test of a policy."""

    class Machine(MailboxMachine):
        overflow = policy

    Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
    return Machine.TestCase


TestDropNewest = machine_of(Overflow.DROP_NEWEST)
TestDropOldest = machine_of(Overflow.DROP_OLDEST)
TestDisconnect = machine_of(Overflow.DISCONNECT)
