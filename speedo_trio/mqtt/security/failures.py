"""Failures: how often logins from an address have failed of late, and whether that is too often.

Each address may fail so many times at once, and then as many a minute. Only addresses that fail
are remembered, a bounded number of them.

Next: `speedo_trio.mqtt.security.acl`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from speedo_trio.mqtt.security.addresses import key_of

if TYPE_CHECKING:
    from speedo_trio.events import Address

MOST_ADDRESSES: Final = 10_000
"""That are remembered: some 2 MB. The one that failed the longest ago is forgotten first."""
PERIOD: Final = 60.0
"""Seconds in which an address may fail as often as it may at once."""


class Failures:
    """A leaky bucket for each address."""

    def __init__(self, most: int | None, *, addresses: int = MOST_ADDRESSES) -> None:
        """Begin with none.

        Args:
            most: so often an address may fail at once, and in each `PERIOD`; None: any number.
            addresses: so many are remembered.
        """
        self.most: int | None = most
        """As it was given; it may be changed."""
        self._addresses = addresses
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # level, and when
        self.failed: int = 0
        """Logins that have failed."""
        self.refused: int = 0
        """Those that were refused unseen, for what their address did before."""

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._levels)

    def may_try(self, address: Address, now: float) -> bool:
        """Whether one more login may be looked at. One that may not is counted."""
        if self.has_room(address, now):
            return True
        self.refused += 1
        return False

    def has_room(self, address: Address, now: float) -> bool:
        """Whether one more login may fail."""
        return self.most is None or self._level(key_of(address), now) + 1 <= self.most

    def refund(self, address: Address) -> None:
        """A login that was charged has not failed."""
        key = key_of(address)
        level, when = self._levels.get(key, (0.0, 0.0))
        if level > 1:
            self._levels[key] = level - 1, when
        else:
            self._levels.pop(key, None)

    def charge(self, address: Address, now: float) -> None:
        """A login from an address is looked at: it counts as failed until `refund`."""
        if self.most is None:
            return
        key = key_of(address)
        level = self._level(key, now) + 1
        self._levels[key] = level, now
        self._levels.move_to_end(key)
        if len(self._levels) > self._addresses:
            self._levels.popitem(last=False)

    def _level(self, key: str, now: float) -> float:
        level, when = self._levels.get(key, (0.0, now))
        level -= (now - when) * (self.most or 0) / PERIOD
        if level <= 0:
            self._levels.pop(key, None)
            return 0.0
        return level
