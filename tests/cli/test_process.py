"""A child process from its parent's side: what it tells is heard, whatever it tells."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from speedo_trio.cli.child import Alive, NotReloaded, Stopped, encode
from speedo_trio.cli.process import ChildProcess
from speedo_trio.events import Listening, Reconfigured
from tests.logs.test_event_log import PEER

LISTENING = Listening(addresses=(PEER,))


@pytest.fixture
async def child() -> AsyncIterator[tuple[ChildProcess, socket.socket]]:
    """A process that does nothing, and what would be its socket."""
    ours, theirs = socket.socketpair()
    process = await trio.lowlevel.open_process(["sleep", "60"])
    with trio.socket.from_stdlib_socket(ours) as heard:
        yield ChildProcess(1, process, None, heard), theirs
    theirs.close()
    process.kill()
    await process.wait()


Pair = tuple[ChildProcess, socket.socket]


async def test_reports_however_they_come(child: Pair) -> None:
    """Byte by byte, several in one, and after the end of the process."""
    process, told = child
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.run)
            for byte in encode(LISTENING):
                told.send(bytes([byte]))
                await trio.testing.wait_all_tasks_blocked()
            await process.told.wait()
            told.sendall(encode(Alive()) + encode(Stopped(1, 2)))
            process.process.kill()
            told.close()

    assert process.listening == LISTENING
    assert process.stopped == Stopped(1, 2)
    assert process.end == "was ended by SIGKILL"


async def test_nonsense_is_logged_and_no_more(
    child: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """The next report is heard."""
    process, told = child
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.run)
            told.sendall(b"nonsense" * 100 + b"\n" + encode(LISTENING))
            await process.told.wait()
            nursery.cancel_scope.cancel()

    assert process.listening == LISTENING
    assert len(caplog.messages) == 1
    assert "told what is no report: b'nonsensenonsense" in caplog.text
    assert len(caplog.messages[0]) < 200


async def test_a_line_without_end_is_forgotten(child: Pair) -> None:
    """The parent's memory is bounded."""
    process, told = child
    told.setblocking(False)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.run)
            sender = trio.SocketStream(trio.socket.from_stdlib_socket(told.dup()))
            async with sender:
                await sender.send_all(b"x" * 3_000_000 + b"\n" + encode(LISTENING))
                await process.told.wait()
            nursery.cancel_scope.cancel()

    assert process.listening == LISTENING


async def test_one_that_never_read_what_it_was_told(child: Pair) -> None:
    """Then its end is a reset, and is an end all the same."""
    process, told = child
    told.sendall(encode(LISTENING))
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.run)
            await process.told.wait()
            await process._socket.send(b"x")
            told.close()
            process.process.kill()

    assert process.listening == LISTENING


async def test_a_cancel_kills_it(child: Pair) -> None:
    """Nobody is left behind."""
    process, _ = child
    with trio.fail_after(10), trio.move_on_after(0):
        await process.run()

    assert process.process.returncode == -signal.SIGKILL
    assert process.told.is_set()


async def test_what_keeps_the_socket_holds_nobody_up(
    child: Pair, autojump_clock: trio.testing.MockClock
) -> None:
    """A process that the child started may have it still; the child's end counts."""
    process, _ = child
    process.process.kill()
    await process.run()

    assert process.end == "was ended by SIGKILL"


async def test_a_drain_is_asked_for_twice(child: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a signal, which can be lost at the very beginning, and by the end of the socket.

    What the child tells then is still heard; and one that has ended is asked in vain.
    """
    process, told = child
    sent: list[int] = []
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.run)
            with monkeypatch.context() as deaf:
                deaf.setattr(process.process, "send_signal", sent.append)
                process.drain()
            assert told.recv(1) == b""
            told.sendall(encode(LISTENING))
            await process.told.wait()
            process.process.kill()
        process.drain()

    assert sent == [signal.SIGTERM]
    assert process.listening == LISTENING


async def test_one_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left open."""
    monkeypatch.setattr("sys.executable", "/no/such/python")
    with pytest.raises(FileNotFoundError):
        await ChildProcess.start(1, (), [])


async def test_a_reload_and_its_answer(child: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reload has its own."""
    process, told = child
    answers = [encode(Reconfigured(changed=("a",))), encode(NotReloaded("b"))]
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.run)
            told.sendall(encode(LISTENING))
            await process.told.wait()
            monkeypatch.setattr(
                process.process, "send_signal", lambda number: told.sendall(answers.pop())
            )
            assert await process.reload() == NotReloaded("b")
            assert await process.reload() == Reconfigured(changed=("a",))
            nursery.cancel_scope.cancel()


async def test_a_reload_of_one_that_ends(child: Pair) -> None:
    """It has no answer, and nobody waits for one."""
    process, told = child
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.run)
            told.sendall(encode(LISTENING))
            await process.told.wait()
            assert await process.reload() is None  # `sleep` dies of SIGHUP
        assert await process.reload() is None

    assert process.end == "was ended by SIGHUP"


async def test_no_answer_in_time(
    child: Pair, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """A child that is stuck is passed over."""
    process, told = child
    async with trio.open_nursery() as nursery:
        nursery.start_soon(process.run)
        told.sendall(encode(LISTENING))
        await trio.testing.wait_all_tasks_blocked()
        monkeypatch.setattr(process.process, "send_signal", lambda number: None)
        assert await process.reload() is None
        nursery.cancel_scope.cancel()


async def test_stuck_first_gently(
    child: Pair, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """SIGABRT, which leaves a core; then SIGKILL, which nothing can hold up."""
    process, told = child
    process._watchdog = 2.0
    sent: list[tuple[float, int]] = []
    monkeypatch.setattr(
        process.process, "send_signal", lambda number: sent.append((trio.current_time(), number))
    )
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(process.run)
        await trio.sleep(10)  # what doesn't serve yet is not stuck
        told.sendall(encode(LISTENING))
        for _ in range(8):
            await trio.sleep(0.5)
            told.sendall(encode(Alive()))
        await trio.sleep(20)
        nursery.cancel_scope.cancel()

    assert [number for _, number in sent] == [signal.SIGABRT, signal.SIGKILL]
    assert sent[0][0] - began >= 16.0
    assert sent[1][0] - sent[0][0] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "ended with status 0"),
        (7, "ended with status 7"),
        (-9, "was ended by SIGKILL"),
        (-50, "was ended by signal 50"),
    ],
)
async def test_how_it_ended(status: int, text: str, child: Pair) -> None:
    """A number has a name where there is one."""
    process, _ = child

    class Ended:
        returncode = status

    process.process.kill()
    await process.process.wait()
    ended = ChildProcess(1, Ended(), None, process._socket)  # type: ignore[arg-type]  # all of it that counts

    assert ended.end == text
