"""A password file as a hook: may a client connect with this name and password?

Next: `speedo_trio.mqtt.security.addresses`.
"""

from __future__ import annotations

import hmac
import os
import secrets
from functools import partial
from typing import TYPE_CHECKING

import trio

from speedo_trio.mqtt.security.hashes import Scrypt
from speedo_trio.mqtt.security.threads import BUSY, THREADS, Threads
from speedo_trio.mqtt.security.users import parse_users, read_file

if TYPE_CHECKING:
    from speedo_trio.mqtt.requests import ConnectRequest
    from speedo_trio.mqtt.security.hashes import PasswordHash
    from speedo_trio.mqtt.verdicts import Refused


class PasswordFile:
    """Lets those in whose name and password stand in a file: for `Hooks.authenticate`.

    ::

        Hooks(authenticate=PasswordFile("/etc/mqtt.passwords"))

    ``trio-speedo passwd`` and mosquitto_passwd write such files. Passwords are looked at in threads
    of its own, so that a crowd that logs in leaves the others alone. One that was right is
    remembered, by a keyed hash and in memory only: who comes back need not be looked at anew.
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int = THREADS) -> None:
        """Read the file.

        Args:
            threads: how many passwords are looked at at the same time.

        Raises:
            ConfigError: it can't be read, or a line in it is none.
        """
        self._threads = Threads(threads)
        self._path = os.fspath(path)
        self._users = self._read()
        self._key = secrets.token_bytes(32)
        self._known: dict[str, bytes] = {}  # by user, of the password that was right
        self._nobody = _nobody(self._users)

    def reload(self) -> frozenset[str]:
        """Read the file again. Blocks for as long as that takes.

        Returns:
            The users whose lines have gone or changed.

        Raises:
            ConfigError: as when it was made; then all is as before.
        """
        return self._change(self._read())

    def adopt(self, other: PasswordFile) -> frozenset[str]:
        """Hold to what another one has read; the same as `reload` otherwise."""
        self._path, self._threads = other._path, other._threads
        return self._change(other._users)

    def _change(self, users: dict[str, PasswordHash]) -> frozenset[str]:
        before, self._users = self._users, users
        gone = {name for name, line in before.items() if self._users.get(name) != line}
        for name in gone:
            self._known.pop(name, None)
        self._nobody = _nobody(self._users)
        return frozenset(gone)

    async def __call__(self, request: ConnectRequest) -> bool | Refused:
        """May it connect? The hook."""
        if request.user_name is None:
            return False
        return await self.check(request.user_name, request.password or b"")

    async def check(self, name: str, password: bytes) -> bool | Refused:
        """Whether it is the user's password; a Refused when too many wait for that."""
        line = self._users.get(name)
        seal = partial(hmac.digest, self._key, password, "sha256")
        known = self._known.get(name)
        if known is not None and hmac.compare_digest(known, seal()):
            await trio.lowlevel.checkpoint()
            return True
        if self._threads.full:
            await trio.lowlevel.checkpoint()
            return BUSY
        right = await self._threads.look(partial((line or self._nobody).check, password))
        if line is None or not right:  # nobody's is looked at too: the time would tell
            return False
        if self._users.get(name) is line:  # the file was not read again meanwhile
            self._known[name] = seal()
        return self._users.get(name) == line

    def _read(self) -> dict[str, PasswordHash]:
        return parse_users(read_file(self._path), self._path)


def _nobody(users: dict[str, PasswordHash]) -> PasswordHash:
    """What passwords of unknown users are checked by: it takes as long as for those who are."""
    return next(iter(users.values()), Scrypt(4, 8, 1, b"nobody", bytes(32)))
