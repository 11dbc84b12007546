"""Progress: how far a load is, and how fast."""

from __future__ import annotations

import pytest
import trio

from speedo_trio.cli.bench.connector import make_connector
from speedo_trio.cli.bench.course import Course, Phase
from speedo_trio.cli.bench.progress import Speed, done, show_progress
from tests.cli.bench.conftest import make_plan

SECOND = 10**9


def make_course(phase: Phase, **settings: float) -> Course:
    """A load that began to measure one second after the clock began."""
    plan = make_plan("tcp://x:1", **settings)
    course = Course(plan, make_connector(plan), phase=phase)
    course.tally.began = SECOND
    course.left = plan.requests
    return course


@pytest.mark.parametrize(
    ("phase", "part"),
    [(Phase.CONNECTING, 0), (Phase.WARMING_UP, 0), (Phase.MEASURING, 0.5), (Phase.FINISHING, 1)],
)
def test_only_measuring_advances(phase: Phase, part: float) -> None:
    """What comes before is nothing yet, what comes after is all."""
    assert done(make_course(phase, seconds=4), 3 * SECOND) == part


def test_requests_count_if_they_end_it() -> None:
    """Whichever is nearer to its end: time or requests."""
    course = make_course(Phase.MEASURING, requests=100)
    course.left = 25
    assert done(course, 3 * SECOND) == 0.75

    course = make_course(Phase.MEASURING, requests=100, seconds=4)
    course.left = 75
    assert done(course, 3 * SECOND) == 0.5


def test_it_is_never_more_than_all() -> None:
    """Even if the end is late."""
    assert done(make_course(Phase.MEASURING, seconds=1), 9 * SECOND) == 1


def test_speed() -> None:
    """What has been added since the last look, a second; after a new beginning, since that."""
    speed = Speed()

    assert speed.of(100, 5 * SECOND) == 0
    assert speed.of(300, 7 * SECOND) == 100
    assert speed.of(300, 7 * SECOND) == 0
    assert speed.of(50, 8 * SECOND) == 50


async def test_the_bar(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its phase and its rate, on stderr only."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # has Rich take the stream for a terminal
    with trio.move_on_after(1):
        await show_progress(make_course(Phase.WARMING_UP))
    out, err = capsys.readouterr()

    assert out == ""
    assert "warming up" in err
    assert "replies/s" in err
