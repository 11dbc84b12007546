"""Dialogues: what is asked on a connection, and whether the replies are right. Bytes only, no I/O.

Each request is a line and each reply is a line, in the order of the requests.
"""

from __future__ import annotations

from itertools import count as numbers
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_SIZE = 16
"""The shortest echoed line: its number, its place in its batch and the newline."""
_NUMBER_DIGITS, _PLACE_DIGITS = 10, 5
LARGEST_WINDOW = 10**_PLACE_DIGITS
_SHOWN_BYTES = 72


@frozen(kw_only=True)
class Wrong:
    """Replies that are wrong: how many, and the first of them."""

    count: int
    expected: bytes
    """What was asked for; empty when there should have been no reply at all."""
    seen: bytes
    lasting: bool
    """Whether nothing that follows on this connection can be trusted."""

    def __str__(self) -> str:
        expected = repr(_shown(self.expected)) if self.expected else "no more replies"
        return f"expected {expected}, got {_shown(self.seen)!r}"


def _shown(line: bytes) -> bytes:
    return line if len(line) <= _SHOWN_BYTES else line[:_SHOWN_BYTES] + b"..."


class Dialogue(Protocol):
    """One connection's requests and replies."""

    def ask(self, count: int) -> bytes:
        """The next `count` requests, joined; at least one, at most the window."""

    def hear(self, data: bytes) -> tuple[int, Wrong | None]:
        """Take what came: how many requests it answers, rightly or not, and what is wrong."""


class EchoLines:
    """Lines for echo servers, no two of them alike: a swapped or stale reply does not match.

    Each line has a number that its batch, the lines sent together, has alone among all clients, and
    its place in the batch. One form with all places is made beforehand, and given its number when
    it is sent: that takes a tenth of the time that making single lines would.
    """

    def __init__(self, size: int, window: int) -> None:
        """Args: the size of a line in bytes, its newline included; the most lines in a batch."""
        self.size: int = size
        self._numbers: Iterator[int] = numbers()
        self._blank = b"#" * _NUMBER_DIGITS
        filling = _filling(size - LEAST_SIZE) + b"\n"
        self._form = b"".join(
            b"%b%0*d%b" % (self._blank, _PLACE_DIGITS, place, filling) for place in range(window)
        )

    def batch(self, count: int) -> bytes:
        """`count` lines, joined, such as there were none before."""
        number = b"%0*d" % (_NUMBER_DIGITS, next(self._numbers))
        return self._form[: count * self.size].replace(self._blank, number)


def _filling(size: int) -> bytes:
    letters = b"abcdefghijklmnopqrstuvwxyz"
    return (letters * (size // len(letters) + 1))[:size]


class EchoDialogue:
    """Every byte must come back as it was sent.

    After a wrong one it isn't known any more which reply belongs to which request.
    """

    __slots__ = ("_heard", "_lines", "_owed")

    def __init__(self, lines: EchoLines) -> None:
        self._lines = lines
        self._owed = bytearray()  # what must come, from the beginning of a line on
        self._heard = 0  # bytes of that line that have come

    def ask(self, count: int) -> bytes:
        batch = self._lines.batch(count)
        self._owed += batch
        return batch

    def hear(self, data: bytes) -> tuple[int, Wrong | None]:
        if not self._owed.startswith(data, self._heard):
            return self._mismatch(data)
        self._heard += len(data)
        lines, self._heard = divmod(self._heard, self._lines.size)
        del self._owed[: lines * self._lines.size]
        return lines, None

    def _mismatch(self, data: bytes) -> tuple[int, Wrong]:
        pairs = zip(data, memoryview(self._owed)[self._heard :], strict=False)
        right = next((n for n, (seen, owed) in enumerate(pairs) if seen != owed), None)
        if right is None:  # all that is owed has come, and more
            right = len(self._owed) - self._heard
        size = self._lines.size
        lines = (self._heard + right) // size
        expected = bytes(self._owed[lines * size : (lines + 1) * size])
        seen = bytes(self._owed[lines * size : self._heard + right]) + data[right : right + size]
        seen = seen.partition(b"\n")[0]
        expected = expected.removesuffix(b"\n")
        return lines + bool(expected), Wrong(count=1, expected=expected, seen=seen, lasting=True)


class LineDialogue:
    """The same line is asked again and again; a reply is any line, or one that is expected.

    A carriage return before a reply's newline is not part of the reply.
    """

    __slots__ = ("_expected", "_keep", "_open", "_request", "_rest")

    def __init__(self, request: bytes, expected: bytes | None) -> None:
        """Args: the request and the expected reply without newlines; None: any reply is right."""
        self._request = request + b"\n"
        self._expected = expected
        self._open = 0  # requests without a reply
        self._rest = b""  # of a line whose end has not come
        # What is longer than this is wrong however it goes on, so it need not be kept.
        self._keep = _SHOWN_BYTES + len(expected or b"")

    def ask(self, count: int) -> bytes:
        self._open += count
        return self._request * count

    def hear(self, data: bytes) -> tuple[int, Wrong | None]:
        if self._expected is None and (lines := data.count(b"\n")) <= self._open:
            self._open -= lines
            return lines, None
        *replies, rest = (self._rest + data).split(b"\n")
        self._rest = rest[: self._keep]
        if self._expected is None or len(replies) > self._open:
            surplus = len(replies) - self._open
            seen = replies[self._open].removesuffix(b"\r")
            return self._open, Wrong(count=surplus, expected=b"", seen=seen, lasting=True)
        self._open -= len(replies)
        return len(replies), self._compare(replies, self._expected)

    def _compare(self, replies: list[bytes], expected: bytes) -> Wrong | None:
        wrong = len(replies) - replies.count(expected) - replies.count(expected + b"\r")
        if not wrong:
            return None
        allowed = (expected, expected + b"\r")
        first = next(reply for reply in replies if reply not in allowed).removesuffix(b"\r")
        return Wrong(count=wrong, expected=expected, seen=first, lasting=False)
