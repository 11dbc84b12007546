"""The writer: all of it, in order, as it comes, however slowly it is read."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from speedo_trio.cli.pubsub.writing import Writer, write_all


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The reading and the writing end."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:  # a test has closed it
            pass


async def read(descriptor: int, size: int) -> bytes:
    """So many bytes, or all up to the end."""
    data = b""
    while len(data) < size:
        part = await trio.to_thread.run_sync(os.read, descriptor, size - len(data))
        if not part:
            break
        data += part
    return data


async def test_what_is_put_is_written_at_once(pipe: tuple[int, int]) -> None:
    """Without anything that comes after it."""
    reading, writing = pipe
    writer = Writer(writing)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            for data in (b"one\n", b"two\n"):
                await writer.put(data)
                assert await read(reading, 4) == data
            writer.end()


async def test_the_end_waits_until_all_is_written(pipe: tuple[int, int]) -> None:
    """What was put before is written, more than a pipe holds."""
    reading, writing = pipe
    writer = Writer(writing)
    data = bytes(range(256)) * 4000
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            await writer.put(data)
            writer.end()
            assert await read(reading, len(data)) == data


async def test_put_waits_when_too_much_waits(pipe: tuple[int, int]) -> None:
    """A reader that is slow holds up who writes, and not the memory."""
    reading, writing = pipe
    writer = Writer(writing)
    put = 0

    async def fill() -> None:
        nonlocal put
        for _ in range(100):
            await writer.put(bytes(10_000))
            put += 1
        writer.end()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            nursery.start_soon(fill)
            while len(writer._waiting) < 65_536:  # noqa: ASYNC110  # a thread makes no event
                await trio.sleep(0.001)
            await wait_all_tasks_blocked()
            assert put < 30
            assert len(await read(reading, 1_000_000)) == 1_000_000

    assert put == 100


async def test_a_reader_that_has_gone(pipe: tuple[int, int]) -> None:
    """It ends the writing, those who wait to put go on, and what is put is dropped."""
    reading, writing = pipe
    writer = Writer(writing)

    async def put() -> None:
        await writer.put(bytes(1_000_000))
        await writer.put(b"more")

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(put)
            await wait_all_tasks_blocked()
            os.close(reading)
            nursery.start_soon(writer.run)
        await writer.put(bytes(1_000_000))

    assert isinstance(writer.error, BrokenPipeError)


async def test_a_full_disk() -> None:
    """It is told by its error."""
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: ASYNC230, PTH123  # it never waits
        writer = Writer(full.fileno())
        await writer.put(b"x")
        await writer.run()

    assert writer.error is not None
    assert writer.error.strerror == "No space left on device"


async def test_a_cancel_leaves_the_thread_behind(pipe: tuple[int, int]) -> None:
    """A reader that doesn't read can't keep the command from its end."""
    reading, writing = pipe
    writer = Writer(writing)
    await writer.put(b"x" * 65_535)
    with trio.fail_after(5), trio.move_on_after(0.05) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            await writer.put(b"y" * 65_536)
            await writer.put(b"z" * 65_536)

    assert scope.cancelled_caught
    os.close(reading)  # lets the thread go
    limiter = trio.to_thread.current_default_thread_limiter()
    with trio.fail_after(5):
        while limiter.borrowed_tokens:  # noqa: ASYNC110  # a thread makes no event
            await trio.sleep(0.001)


def test_a_descriptor_that_somebody_made_non_blocking(pipe: tuple[int, int]) -> None:
    """As happens to terminals that are shared; all is written nevertheless."""
    reading, writing = pipe
    os.set_blocking(writing, False)
    data = bytes(range(256)) * 2000
    thread = threading.Thread(target=write_all, args=[writing, data])
    thread.start()
    got = b""
    while len(got) < len(data):
        got += os.read(reading, 65_536)
    thread.join()

    assert got == data
