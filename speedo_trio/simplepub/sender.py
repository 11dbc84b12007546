"""The sender: frames of several tasks, one after another on one stream, joined where they wait.

Next: `speedo_trio.simplepub.session`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from attrs import define

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_JOINED_BYTES: Final = 65_536
"""About the most that is copied to be sent in one call; a longer frame is sent as it is."""


@define(eq=False)
class _Waiting:
    """A frame that is to be sent."""

    frame: bytes
    before: Callable[[], None] | None
    taken: bool = False
    sent: bool = False


class Sender:
    """Sends whole frames, in the order of the calls.

    While one task sends, the frames of others wait; whoever comes first sends all of them.
    """

    __slots__ = ("_sending", "_stream", "_turn", "_waiting", "broken")

    def __init__(self, stream: trio.abc.SendStream) -> None:
        self._stream = stream
        self._waiting: list[_Waiting] = []
        self._sending = False
        self._turn = trio.lowlevel.ParkingLot()
        self.broken: bool = False
        """Whether the stream may have ended inside a frame; then no other can follow."""

    async def send(self, frame: bytes, before: Callable[[], None] | None = None) -> None:
        """Send one frame.

        A cancel before its first byte sends nothing of it. Later the stream may be `broken`,
        unless another task sends the frame: then it goes out all the same.

        Args:
            frame: the bytes.
            before: is called when the frame is sent for certain, in the order of the frames.

        Raises:
            trio.BrokenResourceError: the stream is gone, or `broken`.
            trio.ClosedResourceError: the stream was closed here.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        mine = _Waiting(frame, before)
        self._waiting.append(mine)
        while self._sending:
            await self._wait(mine)
            if mine.sent:
                return
        await self._send_waiting()

    async def _wait(self, mine: _Waiting) -> None:
        """Wait until the task that sends has come to its end."""
        try:
            await self._turn.park()
            await trio.lowlevel.checkpoint_if_cancelled()  # the last chance to send nothing
        except trio.Cancelled:
            if not mine.taken:
                self._waiting.remove(mine)
            raise

    async def _send_waiting(self) -> None:
        if self.broken:
            raise trio.BrokenResourceError("a frame was not sent to its end")
        batch, self._waiting = self._waiting, []
        for one in batch:
            one.taken = True
            if one.before is not None:
                one.before()
        self._sending = True
        try:
            for data in _joined(batch):
                await self._stream.send_all(data)
            for one in batch:
                one.sent = True
        except BaseException:
            self.broken = True
            raise
        finally:
            self._sending = False
            self._turn.unpark_all()


def _joined(batch: list[_Waiting]) -> Iterator[bytes]:
    """The frames of the batch, small ones joined."""
    parts: list[bytes] = []
    size = 0
    for one in batch:
        if parts and size + len(one.frame) > _JOINED_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
        parts.append(one.frame)
        size += len(one.frame)
    yield parts[0] if len(parts) == 1 else b"".join(parts)
