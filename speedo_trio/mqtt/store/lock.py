"""The lock of a store's file: one process has it, until it ends, however it does.

Next: `speedo_trio.mqtt.store.schema`.
"""

from __future__ import annotations

import fcntl
import os

from speedo_trio.errors import StoreError


class FileLock:
    """A file beside the store's, that is locked and never removed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self, owner: str) -> None:
        """Take it.

        Args:
            owner: What it is the lock of, for errors.

        Raises:
            StoreError: another has it, or it can't be made.
        """
        if self._descriptor is not None:
            raise StoreError(f"{owner} is open already")
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{owner} can't be opened: {error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise StoreError(
                f"{owner} is in use by another process; allowed is one at a time"
            ) from None
        self._descriptor = descriptor

    def give_back(self) -> None:
        """Give it back, if it was taken."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
