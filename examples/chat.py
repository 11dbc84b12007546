"""A chat room: what one guest says is pushed to all the others.

Shows how a message writes to other connections, and why that needs no lock: an ``async def
execute`` runs on the Trio thread, as the callbacks of a handler do. The lines of one guest are
executed in order, so the first is the name that the second is said by, even if both came at once.

`Connection.write` never waits. The bytes for a guest who doesn't read pile up to
``limits.unsent_bytes``, then that guest's connection is aborted; nobody else notices.

Run it, in the folder of this file, with a smaller pile than the default of 4 MiB:

    trio-speedo serve chat:room --limits.unsent-bytes 65536

Then, in two terminals, run ``nc localhost 9292`` and type a name; then say something.
"""

from __future__ import annotations

from attrs import define

from speedo_trio import CloseReason, Connection, LineProtocol, Message


@define
class Line(Message):
    """What a guest typed: first a name, then what there is to say."""

    guest: Guest
    text: str

    async def execute(self) -> bytes | None:  # async, so it runs on the Trio thread
        guest = self.guest
        if guest.name is None:
            return guest.enter(self.text)
        guest.room.tell(f"{guest.name}: {self.text}", but=guest)
        return None


class Guest(LineProtocol):
    """One connection; it is in the room once it has a name."""

    limit = 1000  # bytes of a line

    def __init__(self, connection: Connection, room: Room) -> None:
        super().__init__(connection)
        self.room = room
        self.name: str | None = None

    def opened(self) -> None:
        self.connection.write(b"What is your name?\n")

    def frame(self, line: bytes) -> Line:
        return Line(self, printable(line))

    def enter(self, name: str) -> bytes | None:
        if not name or name in self.room.guests:
            return b"Another name, please."
        self.room.tell(f"* {name} has joined")
        self.name = name
        self.room.guests[name] = self
        return f"* here: {', '.join(self.room.guests)}".encode()

    def draining(self) -> None:
        self.leave()
        self.connection.write(b"* the room closes\n")

    def closed(self, reason: CloseReason) -> None:
        if self.leave():
            self.room.tell(f"* {self.name} has left")

    def leave(self) -> bool:
        """Whether the guest was in the room."""
        return self.name is not None and self.room.guests.pop(self.name, None) is not None


class Room:
    """The guests by name. It makes the handler of each connection, so it is the factory."""

    def __init__(self) -> None:
        self.guests: dict[str, Guest] = {}

    def __call__(self, connection: Connection) -> Guest:
        return Guest(connection, self)

    def tell(self, text: str, but: Guest | None = None) -> None:
        line = text.encode() + b"\n"
        for guest in self.guests.values():
            if guest is not but:
                guest.connection.write(line)  # False: it is gone, and closed() comes soon


def printable(line: bytes) -> str:
    """The text of a line, without what could play tricks on somebody's terminal."""
    return "".join(filter(str.isprintable, line.decode(errors="replace"))).strip()


room = Room()  # what "trio-speedo serve chat:room" serves
