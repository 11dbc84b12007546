"""A line: where the frames to one client leave.

Next: `speedo_trio.mqtt.state.crowd`.
"""

from __future__ import annotations

from typing import Protocol


class Line(Protocol):
    """In order. A `speedo_trio.broker.mailbox.Mailbox` is one."""

    @property
    def congested(self) -> bool:
        """Whether frames wait for room.

        While they do, only QoS 0 messages and answers are given to it. When there is room again,
        call `Client.pump`.
        """

    @property
    def sent(self) -> int:
        """Bytes that have left it."""

    def put(self, frame: bytes) -> bool:
        """Send a message at the end of the turn; whether it was taken.

        What is put while the line is not congested must not be dropped, but with the connection.
        """

    def put_run(self, frames: bytes, number: int) -> None:
        """Send several messages at the end of the turn; only while it is not congested."""

    def answer(self, frame: bytes) -> None:
        """Send what is never dropped."""
