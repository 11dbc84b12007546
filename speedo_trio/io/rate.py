"""Rates: a token bucket, and one for each address."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable


_WHOLE = 1 - 1e-6
"""A whole token, but for what rounding may take from it: who has waited for one gets it."""


class TokenBucket:
    """Lets through `rate` a second on the average, `burst` at once. The caller brings the time."""

    __slots__ = ("_at", "_tokens")

    def __init__(self, burst: float, now: float) -> None:
        """A full one."""
        self._tokens = burst
        self._at = now

    def take(self, rate: float, burst: float, now: float) -> bool:
        """Take a token, if there is a whole one."""
        self._fill(rate, burst, now)
        if self._tokens < _WHOLE:
            return False
        self._tokens -= 1
        return True

    def wait(self, rate: float, burst: float, now: float) -> float:
        """Seconds until there is a whole token; 0 when there is."""
        self._fill(rate, burst, now)
        return 0.0 if self._tokens >= _WHOLE else (1 - self._tokens) / rate

    def _fill(self, rate: float, burst: float, now: float) -> None:
        self._tokens = min(burst, self._tokens + (now - self._at) * rate)
        self._at = now


class Buckets:
    """A token bucket for each key, for as many keys as `most`.

    Beyond that the one used longest ago is forgotten: whoever has that many addresses is not held
    up by a limit for each.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: Hashable, rate: float, burst: float, now: float) -> bool:
        """Take a token from the key's bucket, if there is a whole one."""
        bucket = self._buckets.pop(key, None) or TokenBucket(burst, now)
        self._buckets[key] = bucket
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return bucket.take(rate, burst, now)
