"""Pauses: how long until what died is started again."""

from __future__ import annotations

from speedo_trio.cli.pauses import Pauses


def test_they_double_up_to_half_a_minute() -> None:
    """From a tenth of a second."""
    pauses = Pauses()

    assert [pauses.after(1.0) for _ in range(11)] == [
        *(0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6),
        *(30.0, 30.0),
    ]


def test_a_long_life_begins_anew() -> None:
    """After a minute the reason is another."""
    pauses = Pauses()
    for _ in range(5):
        pauses.after(1.0)

    assert pauses.after(59.9) == 3.2
    assert pauses.after(60.0) == 0.1
    assert pauses.after(1.0) == 0.2
