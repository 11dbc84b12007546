"""Units: three digits, and the unit that suits them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.cli.bench.units import duration, megabytes

DURATIONS = {
    0: "0 ns",
    999: "999 ns",
    1_000: "1.00 µs",
    9_994: "9.99 µs",
    9_996: "10.0 µs",
    99_960: "100 µs",
    843_210: "843 µs",
    999_400: "999 µs",
    999_600: "1.00 ms",
    2_610_000: "2.61 ms",
    12_000_000_000: "12.0 s",
    86_400_000_000_000: "86,400 s",
}


@pytest.mark.parametrize("nanoseconds", DURATIONS)
def test_durations(nanoseconds: int) -> None:
    """Three digits, and never a thousand of a unit that has a larger one."""
    assert duration(nanoseconds) == DURATIONS[nanoseconds]


@given(st.integers(0, 10**12))
def test_a_duration_is_narrow(nanoseconds: int) -> None:
    """It fits the report's columns."""
    assert len(duration(nanoseconds)) <= 7


def test_megabytes() -> None:
    """Of a million bytes."""
    assert megabytes(74_400_000) == "74.4 MB"
    assert megabytes(1_234_500_000) == "1,234 MB"
