"""The script of echo: clients send lines, and have them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.guard.clients import Crowd
    from benchmarks.guard.driver import Script

_LINE = b"x" * 63 + b"\n"


@frozen
class Lines:
    """So many clients, each with so many lines at once."""

    clients: int
    lines: int

    @property
    def messages(self) -> int:
        """In a round."""
        return self.clients * self.lines

    def play(self, crowd: Crowd, rounds: Iterator[None]) -> Script:
        """Play as many rounds as there are."""
        clients = [crowd.client() for _ in range(self.clients)]
        yield
        batch = _LINE * self.lines
        for _ in rounds:
            waiting = dict.fromkeys(clients, b"")
            for client in clients:
                client.send(batch)
            while waiting:
                yield
                for client in list(waiting):
                    waiting[client] += client.take()
                    if len(waiting[client]) >= len(batch):
                        assert waiting.pop(client) == batch, "a line came back wrong"
        for client in clients:
            client.close()
