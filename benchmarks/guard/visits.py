"""The script of visits: clients of MQTT connect, and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from benchmarks.guard.clients import CONNACK, all_answer, connect_packet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.guard.clients import Crowd
    from benchmarks.guard.driver import Script

_DISCONNECT = b"\xe0\x00"


@frozen
class Visits:
    """So many clients at a time, each once in a round."""

    clients: int
    version: int = 4

    @property
    def messages(self) -> int:
        """In a round: visits."""
        return self.clients

    def play(self, crowd: Crowd, rounds: Iterator[None]) -> Script:
        """Play as many rounds as there are."""
        for _ in rounds:
            clients = [crowd.client() for _ in range(self.clients)]
            for number, client in enumerate(clients):
                client.send(connect_packet(b"client-%d" % number, self.version))
            yield from all_answer(clients, CONNACK)
            for client in clients:
                client.send(_DISCONNECT)
                client.close()
            yield
