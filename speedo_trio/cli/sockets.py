"""The listening sockets that several processes share: opened once, and passed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from speedo_trio.io.binds import parse_bind
from speedo_trio.io.sockets import open_sockets, outlives_us, remove_file, socket_file

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from speedo_trio.io.binds import Bind


@define(eq=False)
class SharedSockets:
    """Sockets that listen, and how children are told of them. They are closed by `close`."""

    binds: tuple[str, ...] = ()
    """For children: the layers of the binds that were asked for, over inherited descriptors."""
    descriptors: tuple[int, ...] = ()
    _ours: list[socket.socket] = field(factory=list)
    """Those that nobody listens on when we and the children don't."""
    _others: list[socket.socket] = field(factory=list)
    _files: list[tuple[str, int, int]] = field(factory=list)

    @classmethod
    async def open(cls, binds: Iterable[str], backlog: int) -> SharedSockets:
        """Open what the binds stand for.

        Raises:
            BindError: one of them cannot be listened on; then none is open.
        """
        opened = cls()
        try:
            for bind in map(parse_bind, binds):
                opened._add(bind, await open_sockets(bind, backlog))
        except BaseException:
            opened.close()
            raise
        return opened

    def _add(self, bind: Bind, sockets: list[socket.socket]) -> None:
        ours = not outlives_us(bind)
        (self._ours if ours else self._others).extend(sockets)
        self.descriptors += tuple(each.fileno() for each in sockets)
        self.binds += tuple(str(bind.inherited(each.fileno())) for each in sockets)
        self._files += [file for each in sockets if ours and (file := socket_file(each))]

    def hush(self) -> None:
        """Let the kernel queue nobody new, so that children can take all whom it has queued.

        Those who come now try again in a second (RFC 9293, 3.8.1), instead of being reset when the
        last of us closes the socket. Sockets that somebody else keeps open are left as they are.
        """
        for each in self._ours:
            each.listen(0)

    def close(self) -> None:
        """Close them here, and remove the files of Unix sockets. Does nothing the second time."""
        for each in (*self._ours, *self._others):
            each.close()
        for file in self._files:
            remove_file(file)
        self._files.clear()
