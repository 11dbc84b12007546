"""The smallest protocol of one's own: each line comes back in capitals.

Shows the two things one writes: what a line means (`frame`) and what is done for it (`execute`).

Run it with ``python first_protocol.py``, then type lines into ``nc localhost 9292``.
"""

import trio

from speedo_trio import LineProtocol, Message, serve


class Shout(Message):
    """One line, to be sent back in capitals."""

    def __init__(self, line: bytes) -> None:
        self.line = line

    def execute(self) -> bytes:  # in a worker thread: it may block
        return self.line.upper()  # the reply; None for no reply


class ShoutProtocol(LineProtocol):
    """Turns each line into a message."""

    def frame(self, line: bytes) -> Message:
        return Shout(line)


if __name__ == "__main__":
    trio.run(serve, ShoutProtocol, "tcp://localhost:9292")
