"""Echo on Twisted's `LineOnlyReceiver` with one `deferToThread` a line, in order.

What a Twisted server does when its messages may block. A connection has at most one line in
the reactor's thread pool, so replies keep their order. Reading stops while too many lines wait.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.internet.threads import deferToThread
from twisted.protocols.basic import LineOnlyReceiver

from benchmarks.peers.terms import BACKLOG, HOST, announce, execute, port_argument

WAITING_LINES = 1024  # reading stops here, and goes on at half of it


class Echo(LineOnlyReceiver):
    """Answer each line from the thread pool, one line of a connection at a time."""

    delimiter = b"\n"
    transport: Any  # Twisted's interfaces are zope's, which type checkers cannot follow

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._executing = False
        self._paused = False

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)  # the other frameworks do it by default

    def lineReceived(self, line: bytes) -> None:
        self._lines.append(line)
        if not self._paused and len(self._lines) >= WAITING_LINES:
            self._paused = True
            self.transport.pauseProducing()
        if not self._executing:
            self._execute_next()

    def _execute_next(self) -> None:
        self._executing = bool(self._lines)
        if self._executing:
            deferToThread(execute, self._lines.popleft()).addCallback(self._reply)

    def _reply(self, reply: bytes) -> None:
        self.transport.write(reply)
        self._execute_next()
        if self._paused and len(self._lines) < WAITING_LINES // 2:
            self._paused = False
            self.transport.resumeProducing()


def serve(reactor: Any, port: int) -> Deferred[None]:
    """Serve until the process ends; the reactor is `Any` for the same reason as above."""
    reactor.listenTCP(port, Factory.forProtocol(Echo), backlog=BACKLOG, interface=HOST)
    announce(port)
    return Deferred()  # never fires


if __name__ == "__main__":
    react(serve, [port_argument()])
