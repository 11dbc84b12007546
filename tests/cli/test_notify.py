"""Notifications: what arrives at a real socket, and that nothing fails without one."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from speedo_trio.cli.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket as systemd has one, at a path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        yield manager


@pytest.fixture
def notifier(manager: socket.socket) -> Iterator[Notifier]:
    """Who tells it."""
    notifier = Notifier(manager.getsockname())
    yield notifier
    notifier.close()


def heard(manager: socket.socket) -> list[str]:
    """The lines of the next datagram; none if nothing came."""
    try:
        return manager.recv(4096).decode().split("\n")
    except BlockingIOError:
        return []


def test_ready(manager: socket.socket, notifier: Notifier) -> None:
    """With the process that it is, and a status for people."""
    notifier.ready("50 connections")

    assert heard(manager) == ["READY=1", f"MAINPID={os.getpid()}", "STATUS=50 connections"]


def test_reloading_tells_when(manager: socket.socket, notifier: Notifier) -> None:
    """By the clock that systemd has, in microseconds, so that it knows which signal it answers."""
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    after = time.monotonic_ns() // 1000

    first, second = heard(manager)
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= after


def test_stopping_asks_for_its_time(manager: socket.socket, notifier: Notifier) -> None:
    """A drain may be longer than the unit's timeout."""
    notifier.stopping(15.5, "draining")

    assert heard(manager) == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=15500000", "STATUS=draining"]


def test_no_manager_is_no_error() -> None:
    """Everything can be told to nobody."""
    notifier = Notifier.from_environment({})
    notifier.ready()
    notifier.reloading()
    notifier.stopping(1.0)
    notifier.close()

    assert (notifier.address, notifier.watchdog) == (None, None)


async def test_keeping_nobody_informed_ends_at_once() -> None:
    """There is no task for nothing."""
    with trio.fail_after(5):
        await Notifier().keep(str)


def test_an_abstract_socket() -> None:
    """A name that begins with @ is no file."""
    name = f"speedo-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.setblocking(False)
        notifier = Notifier(f"@{name}")
        notifier.ready()
        notifier.close()

        assert heard(manager)[0] == "READY=1"


@pytest.mark.parametrize("address", ["/no/such/socket", "vsock:2:1234", "/" + "x" * 200, "/a\0b"])
def test_a_missing_socket_is_logged_once(address: str, caplog: pytest.LogCaptureFixture) -> None:
    """The service runs without."""
    notifier = Notifier(address)
    notifier.ready()
    notifier.stopping(1.0)

    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"cannot tell the service manager at {address}: ")


def test_a_manager_that_went_away_is_logged_once(
    manager: socket.socket, notifier: Notifier, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does it matter when."""
    manager.close()
    notifier.ready()
    notifier.ready()

    assert len(caplog.messages) == 1


def fill(manager: socket.socket) -> None:
    """Send until nothing more fits."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        while True:
            try:
                other.sendto(b"x", manager.getsockname())
            except BlockingIOError:
                return


@pytest.mark.alone
async def test_a_full_queue_holds_nobody_up(
    manager: socket.socket, notifier: Notifier, caplog: pytest.LogCaptureFixture
) -> None:
    """A manager that doesn't read costs half a second at a change, and nothing for the watchdog."""
    fill(manager)
    began = time.monotonic()
    notifier._tell("WATCHDOG=1", patience=0)
    assert time.monotonic() - began < 0.3
    notifier.ready()
    assert 0.4 < time.monotonic() - began < 5

    assert len(caplog.messages) == 1


def test_the_variables_are_read_and_removed(manager: socket.socket) -> None:
    """A process that the protocol starts must not speak for the service."""
    environment = {
        "NOTIFY_SOCKET": manager.getsockname(),
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    notifier = Notifier.from_environment(environment)
    notifier.close()

    assert (notifier.address, notifier.watchdog) == (manager.getsockname(), 3.0)
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "500000"}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
    ],
)
def test_the_watchdog_is_that_of_this_process(
    variables: dict[str, str], seconds: float | None
) -> None:
    """Another process's is none of ours; nonsense is none at all."""
    assert Notifier.from_environment(dict(variables)).watchdog == seconds


async def test_the_watchdog_is_fed_twice_in_its_time(
    manager: socket.socket, notifier: Notifier, autojump_clock: trio.testing.MockClock
) -> None:
    """At once, and every half of it."""
    notifier.watchdog = 3.0
    times = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(notifier.keep, str)
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked()
            assert heard(manager) == ["WATCHDOG=1"]
            assert heard(manager) == []
            times.append(trio.current_time())
            await trio.sleep(1.5)
        nursery.cancel_scope.cancel()

    assert [round(moment - times[0], 6) for moment in times] == [0, 1.5, 3]


async def test_the_status_is_told_when_it_changed(
    manager: socket.socket, notifier: Notifier, autojump_clock: trio.testing.MockClock
) -> None:
    """Every few seconds at most."""
    status = "1 connection"
    notifier.ready(status)
    heard(manager)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(notifier.keep, lambda: status)
        await trio.sleep(20)
        assert heard(manager) == []
        status = "2 connections"
        await trio.sleep(20)
        nursery.cancel_scope.cancel()

    assert heard(manager) == ["STATUS=2 connections"]
    assert heard(manager) == []


def test_a_status_of_any_text(manager: socket.socket, notifier: Notifier) -> None:
    """What is no Unicode doesn't raise."""
    notifier.ready("\udcff")

    assert heard(manager)[2] == "STATUS=?"
