"""One handler for all connections: it greets each visitor with a number.

Shows `shared`, which gives every connection the same handler. That fits protocols that remember
nothing of a single connection; what they remember of all of them is plain attributes here. Every
callback runs on the Trio thread, so they need no lock. What depends on the connection (a half
received line, a name) has no place in such a handler, and it has no `connection` either.

Run it, in the folder of this file, with ``trio-speedo serve shared_handler:visitors``. Then, in
two terminals, run ``nc localhost 9292`` and press Enter.
"""

from __future__ import annotations

from attrs import define

from speedo_trio import CloseReason, Message, ProtocolHandler, shared


@define
class Say(Message):
    """A line for the peer whose bytes, or whose coming, it answers."""

    text: str

    async def execute(self) -> bytes:  # too quick to be worth a thread
        return self.text.encode() + b"\n"


class Visitors(ProtocolHandler):
    """Tells each visitor which one it is, and at each line how many are here."""

    def __init__(self) -> None:  # without a connection: there will be many
        self.came = 0
        self.here = 0

    def opened(self) -> list[Say]:
        self.came += 1
        self.here += 1
        return [Say(f"You are visitor {self.came}.")]

    def handle(self, data: bytes) -> list[Say]:
        return [Say(f"{self.here} here")] * data.count(b"\n")  # however the lines were split

    def draining(self) -> list[Say]:
        return [Say("Goodbye.")]

    def closed(self, reason: CloseReason) -> None:
        self.here -= 1


visitors = shared(Visitors())  # what "trio-speedo serve shared_handler:visitors" serves
