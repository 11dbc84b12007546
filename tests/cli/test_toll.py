"""The toll: what several processes have cost at their end, in one report."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from speedo_trio.cli.child import Stopped
from speedo_trio.cli.toll import Toll
from speedo_trio.events import Listening
from tests.logs.test_event_log import REPORT


class Ended:
    """A child that has ended, as far as it counts."""

    def __init__(self, **told: Any) -> None:
        self.listening = told.get("listening", Listening(addresses=()))
        self.drained = told.get("drained")
        self.stopped = told.get("stopped")


def toll(*children: Any) -> Toll:
    """That of some children."""
    toll = Toll()
    for child in children:
        toll.add(child)
    return toll


def test_reports_are_added_up() -> None:
    """Every count of every child; the time is that of all."""
    whole = toll(Ended(drained=REPORT), Ended(drained=evolve(REPORT, dropped_messages=4)))

    assert whole.report(1.5) == evolve(
        REPORT, connections=6, executed=40, dropped_messages=4, seconds=1.5
    )
    assert (whole.all_cut(), whole.all_dropped()) == (0, 4)
    assert not whole.clean


def test_those_that_were_stopped_count_too() -> None:
    """Some may have drained before."""
    drained = evolve(REPORT, cut_connections=1, dropped_messages=2)
    whole = toll(Ended(drained=drained), Ended(stopped=Stopped(10, 20)))

    assert (whole.all_cut(), whole.all_dropped()) == (11, 22)


@pytest.mark.parametrize(
    ("child", "clean", "known"),
    [
        (Ended(drained=REPORT), True, True),
        (Ended(stopped=Stopped(0, 0)), True, True),
        (Ended(stopped=Stopped(1, 0)), False, True),
        (Ended(stopped=Stopped(0, 1)), False, True),
        (Ended(), False, False),
        (Ended(listening=None), True, True),
    ],
)
def test_what_is_clean(child: Any, clean: bool, known: bool) -> None:  # noqa: FBT001  # a table
    """One that served and told nothing is not; one that never served had nothing to lose."""
    whole = Toll()

    assert whole.add(child) is known
    assert whole.clean is clean
