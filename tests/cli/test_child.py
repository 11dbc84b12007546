"""A child: what it is told, what it tells, and how it sees that its parent is gone."""

from __future__ import annotations

import logging
import os
import socket

import pytest
import trio
import trio.testing

from speedo_trio.cli.child import (
    VARIABLE,
    Alive,
    Child,
    NotReloaded,
    Report,
    Stopped,
    decode,
    encode,
)
from speedo_trio.events import (
    Address,
    ConnectionRefused,
    Drained,
    DrainStarted,
    Listening,
    Reconfigured,
    Refusal,
)
from speedo_trio.logs.event_log import EventLog
from tests.logs.test_event_log import PEER, REPORT

REPORTS = (
    Listening(addresses=(PEER, Address("unix", path="/a\n\udcff"))),
    Drained(report=REPORT),
    Stopped(cut=1, dropped=2),
    Reconfigured(changed=("a", "b"), needs_restart=("c",)),
    NotReloaded("a\nb"),
    Alive(),
)


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_reports_are_lines(report: Report) -> None:
    """One each, and what comes back is what was told."""
    line = encode(report)

    assert line.count(b"\n") == 1
    assert decode(line) == report


@pytest.mark.parametrize(
    "line", [b"", b"x", b"\xff", b"[]", b"1", b"{}", b'{"a": {}}', b'{"Stopped": {"a": 1}}']
)
def test_what_is_no_report_raises_what_is_told(line: bytes) -> None:
    """A protocol that writes to a descriptor by mistake must not end the parent."""
    with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
        decode(line)


def test_nobodys_child() -> None:
    """Without the variable a process is its own."""
    assert Child.from_environment({}) is None


def test_what_a_child_is_told() -> None:
    """Its number, its binds, its socket; the variable is for nobody else, nor is the socket."""
    ours, theirs = socket.socketpair()
    with ours:
        number = theirs.detach()
        os.set_inheritable(number, True)
        environment = {"HOME": "/", **Child.variable(3, ("fd://7", "fd+ws://8"), 1.5, number)}
        child = Child.from_environment(environment)
        assert child is not None
        with child._parent:
            child.tell(Stopped(1, 2))

            assert (child.number, child.binds) == (3, ("fd://7", "fd+ws://8"))
            assert child.watchdog == 1.5
            assert VARIABLE not in environment
            assert not os.get_inheritable(number)
            assert decode(ours.recv(1000)) == Stopped(1, 2)


@pytest.fixture
def family() -> tuple[Child, socket.socket]:
    """A child, and its parent's end."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    return Child(1, (), None, theirs), ours


@pytest.mark.parametrize("told", [[], [Alive()]])
async def test_an_orphan(family: tuple[Child, socket.socket], told: list[Report]) -> None:
    """The end of the socket tells it, whatever came before; and telling has no effect then.

    When something is unread, the end is a reset.
    """
    child, parent = family
    with child._parent, trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child.orphaned)
            parent.sendall(b"x")
            await trio.testing.wait_all_tasks_blocked()
            assert nursery.child_tasks
            for report in told:
                child.tell(report)
            parent.close()
        child.tell(Alive())


async def test_a_parent_that_does_not_read_holds_nobody_up(
    family: tuple[Child, socket.socket],
) -> None:
    """What finds no room is lost."""
    child, parent = family
    with child._parent, parent:
        for _ in range(100_000):
            child.tell(Alive())


async def test_what_a_child_says(
    family: tuple[Child, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    """The parent is told what it says for all; what happens to connections is logged here."""
    caplog.set_level(logging.INFO)
    child, parent = family
    with child._parent, parent:
        voice = child.voice(EventLog())
        refused = ConnectionRefused(peer=PEER, why=Refusal.RATE, limit=1)
        for event in (REPORTS[0], DrainStarted(connections=1, grace=1.0), refused, refused):
            voice.observe(event)
        voice.reloaded(Reconfigured(changed=("a",)))
        voice.not_reloaded("why")
        voice.stopped(1, 2)
        voice.observe(Drained(report=REPORT))
        told = list(map(decode, parent.recv(10_000).splitlines()))

    assert told == [
        REPORTS[0],
        Reconfigured(changed=("a",)),
        NotReloaded("why"),
        Stopped(1, 2),
        Drained(report=REPORT),
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "1 more like this" in caplog.messages[1]


async def test_showing_life(
    family: tuple[Child, socket.socket], autojump_clock: trio.testing.MockClock
) -> None:
    """Four times in the time after which it is taken for stuck; never, if nobody asks for it."""
    child, parent = family
    with child._parent, parent:
        await child.show_life()
        child.watchdog = 2.0
        with trio.move_on_after(1.9):
            await child.show_life()
        assert len(parent.recv(1000).splitlines()) == 4
