"""Units: times, volumes and counts as people read them."""

from __future__ import annotations

_TIMES = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"))


def duration(nanoseconds: float) -> str:
    """A time with three digits at least: ``843 µs``, ``2.61 ms``, ``12.0 s``."""
    for size, unit in _TIMES:
        if nanoseconds >= size * 0.9995:  # what would be rounded to 1000 of the smaller unit
            return f"{_three_digits(nanoseconds / size)} {unit}"
    return f"{nanoseconds:.0f} ns"


def megabytes(count: float) -> str:
    """Bytes as ``74.4 MB``, of a million bytes each."""
    return f"{_three_digits(count / 1e6)} MB"


def _three_digits(number: float) -> str:
    places = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:,.{places}f}"
