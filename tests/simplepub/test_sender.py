"""The sender: whole frames, in order, joined where they wait, and what a cancel leaves behind."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from speedo_trio.simplepub.sender import Sender


class Held(trio.abc.SendStream):
    """Each call sends its first byte, and the rest when the test lets it."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []
        self.done = 0
        self.sender: trio.lowlevel.Task | None = None
        self._let = trio.Semaphore(0)

    def let(self) -> None:
        """Have one call end."""
        self._let.release()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))
        self.sender = trio.lowlevel.current_task()
        await self._let.acquire()
        self.done += 1

    async def wait_send_all_might_not_block(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError


async def test_a_frame_is_one_call() -> None:
    """It is there when send returns."""
    stream = Held()
    stream.let()
    await Sender(stream).send(b"frame")

    assert (stream.calls, stream.done) == ([b"frame"], 1)


async def test_frames_that_wait_are_joined_in_the_order_of_the_calls() -> None:
    """While one is sent, all that wait become one call; each send returns when its frame is out."""
    stream = Held()
    sender = Sender(stream)
    returned: list[bytes] = []

    async def send(frame: bytes) -> None:
        await sender.send(frame)
        returned.append(frame)

    async with trio.open_nursery() as nursery:
        for frame in (b"a", b"b", b"c"):
            nursery.start_soon(send, frame)
            await wait_all_tasks_blocked()
        stream.let()
        await wait_all_tasks_blocked()
        assert returned == [b"a"]
        nursery.start_soon(send, b"d")
        await wait_all_tasks_blocked()
        stream.let()
        await wait_all_tasks_blocked()
        assert sorted(returned) == [b"a", b"b", b"c"]
        stream.let()

    assert stream.calls == [b"a", b"bc", b"d"]


async def test_long_frames_are_not_joined() -> None:
    """A copy of them would cost more than a call."""
    stream = Held()
    sender = Sender(stream)
    frames = [b"a", b"b", b"c" * 65_536, b"d", b"e" * 200_000, b"f"]

    async with trio.open_nursery() as nursery:
        for frame in frames:
            nursery.start_soon(sender.send, frame)
            await wait_all_tasks_blocked()
        for _ in frames:
            stream.let()

    assert stream.calls == frames


async def test_before_is_called_in_the_order_of_the_frames() -> None:
    """When the frame is sent for certain, not when it begins to wait."""
    stream = Held()
    sender = Sender(stream)
    calls: list[str] = []

    async with trio.open_nursery() as nursery:
        for name in "abc":
            send = partial(sender.send, name.encode(), partial(calls.append, name))
            nursery.start_soon(send)
            await wait_all_tasks_blocked()
        assert calls == ["a"]
        stream.let()
        await wait_all_tasks_blocked()
        assert calls == ["a", "b", "c"]
        stream.let()


async def test_a_cancel_before_the_first_byte_sends_nothing() -> None:
    """Neither alone nor in line, and the others don't notice."""
    stream = Held()
    sender = Sender(stream)
    before: list[str] = []
    scope = trio.CancelScope()

    async def send_cancelled() -> None:
        with scope:
            await sender.send(b"same", partial(before.append, "cancelled"))

    with trio.CancelScope() as alone:
        alone.cancel()
        await sender.send(b"never")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.send, b"a")
        await wait_all_tasks_blocked()
        nursery.start_soon(sender.send, b"same")
        await wait_all_tasks_blocked()
        nursery.start_soon(send_cancelled)
        await wait_all_tasks_blocked()
        scope.cancel()
        await wait_all_tasks_blocked()
        stream.let()
        stream.let()

    assert stream.calls == [b"a", b"same"]
    assert before == []
    assert not sender.broken


async def test_a_cancel_when_its_turn_has_come_sends_nothing() -> None:
    """It was told that it may send, and is cancelled before it could; others send then."""
    stream = Held()
    sender = Sender(stream)
    scope = trio.CancelScope()

    async def send_cancelled() -> None:
        with scope:
            await sender.send(b"b")

    async def send_and_cancel() -> None:
        await sender.send(b"a")
        scope.cancel()  # before those that this wakes have run

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_and_cancel)
        await wait_all_tasks_blocked()
        nursery.start_soon(send_cancelled)
        await wait_all_tasks_blocked()
        stream.let()
        await wait_all_tasks_blocked()
        nursery.start_soon(sender.send, b"c")
        stream.let()

    assert stream.calls == [b"a", b"c"]
    assert not sender.broken


async def test_a_cancel_while_another_sends_the_frame() -> None:
    """It goes out all the same: nobody would know where the stream is, otherwise."""
    stream = Held()
    sender = Sender(stream)
    scopes: dict[trio.lowlevel.Task, trio.CancelScope] = {}

    async def send(frame: bytes) -> None:
        with trio.CancelScope() as scopes[trio.lowlevel.current_task()]:
            await sender.send(frame)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.send, b"a")
        await wait_all_tasks_blocked()
        nursery.start_soon(send, b"b")
        await wait_all_tasks_blocked()
        nursery.start_soon(send, b"c")
        await wait_all_tasks_blocked()
        stream.let()
        await wait_all_tasks_blocked()
        assert stream.calls == [b"a", b"bc"]
        (other,) = (task for task in scopes if task is not stream.sender)
        scopes[other].cancel()
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        stream.let()

    assert stream.done == 2
    assert not sender.broken


async def test_a_cancel_inside_a_frame_breaks_it() -> None:
    """Half a frame can't be taken back: those in line and all later ones are told."""
    stream = Held()
    sender = Sender(stream)
    scope = trio.CancelScope()
    errors: list[str] = []

    async def send_cancelled() -> None:
        with scope:
            await sender.send(b"a")

    async def send() -> None:
        with pytest.raises(trio.BrokenResourceError, match="a frame was not sent to its end"):
            await sender.send(b"b")
        errors.append("told")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_cancelled)
        await wait_all_tasks_blocked()
        nursery.start_soon(send)
        nursery.start_soon(send)
        await wait_all_tasks_blocked()
        scope.cancel()
    await send()

    assert errors == ["told"] * 3
    assert sender.broken
    assert stream.calls == [b"a"]
