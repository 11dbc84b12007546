"""Orders: which signal asks for what, and what a terminal that hangs up asks for."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import socket
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from speedo_trio.cli.orders import SIGNALS, Order, open_orders
from tests.cli.conftest import Start
from tests.cli.test_run import GREETING, LOCAL


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """What signals do to pytest is left as it was."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("signals", "orders"),
    [
        ([signal.SIGTERM, signal.SIGTERM], [Order.DRAIN, Order.STOP]),
        ([signal.SIGINT, signal.SIGTERM], [Order.DRAIN, Order.STOP]),
        ([signal.SIGHUP, signal.SIGHUP], [Order.RELOAD, Order.RELOAD]),
        ([signal.SIGHUP, signal.SIGINT, signal.SIGHUP], [Order.RELOAD, Order.DRAIN, Order.RELOAD]),
    ],
)
async def test_what_signals_ask(signals: list[signal.Signals], orders: list[Order]) -> None:
    """One after another; SIGINT and SIGTERM are the same."""
    found = []
    with open_orders() as given:
        for number in signals:
            signal.raise_signal(number)
            found.append(await anext(given))

    assert found == orders


async def test_afterwards_signals_are_ignored() -> None:
    """The status of the process stands."""
    with open_orders():
        pass
    for number in SIGNALS:
        signal.raise_signal(number)


def test_a_terminal_that_hangs_up_drains(start: Start) -> None:
    """Closing its window ends a server that was started in it, and it ends in good order."""
    ours, theirs = pty.openpty()

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    Path("greeting.py").write_text(GREETING)
    process = start("serve", "greeting:Greeting", *LOCAL, preexec_fn=own_terminal)
    os.close(theirs)
    with process.connect() as connection:
        assert connection.recv(10) == b"hello\n"
        os.close(ours)
        assert connection.recv(1) == b""
    status, out, err = process.end()

    assert (status, err) == (0, "")
    assert "drained 1 connection" in out


def test_under_nohup_it_stays(start: Start) -> None:
    """What was to survive its terminal does; SIGHUP reads the settings again."""
    ours, theirs = pty.openpty()

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = start("serve", *LOCAL, preexec_fn=own_terminal)
    port = process.port()
    os.close(theirs)
    os.close(ours)
    assert process.popen.stderr is not None
    assert "reconfigured: nothing changed" in process.popen.stderr.readline()
    with socket.create_connection(("127.0.0.1", port)):
        pass
    process.send(signal.SIGTERM)

    assert process.end()[0] == 0
